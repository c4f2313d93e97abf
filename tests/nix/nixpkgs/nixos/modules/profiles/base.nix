# SPDX-License-Identifier: MIT
{ }
