# SPDX-License-Identifier: MIT
# Sessions in every driver of layers: the kernel's overlayfs, that of fuse, and a disk in a file.
{
  name = "strata-sandboxes";
  nodes.machine = {
    boot.kernelModules = [
      "fuse"
      "loop"
      "overlay"
    ];
    virtualisation.diskSize = 4096;
  };
  testScript = builtins.readFile ./sandboxes.py;
}
