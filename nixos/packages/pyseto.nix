# SPDX-License-Identifier: MIT
# From the wheel: the sdist asks for a build backend that not every nixpkgs has.
{
  buildPythonPackage,
  fetchPypi,
  argon2-cffi,
  cryptography,
  iso8601,
  pycryptodomex,
}:
buildPythonPackage rec {
  pname = "pyseto";
  version = "1.10.0";
  format = "wheel";

  src = fetchPypi {
    inherit pname version format;
    dist = "py3";
    python = "py3";
    hash = "sha256-8ZSq2Hxa8KiU9qdXyPbj1cYiIaMHI4H0C5m5rIvQ5BU=";
  };

  dependencies = [
    argon2-cffi
    cryptography
    iso8601
    pycryptodomex
  ];

  pythonImportsCheck = [ "pyseto" ];
}
