# SPDX-License-Identifier: MIT
# nix build .#nixosConfigurations.strata-iso-x86_64.config.system.build.isoImage
# Nobody can log in until a module adds a key or a password: it is extended with `extendModules`.
{ modulesPath, ... }:
{
  imports = [
    "${modulesPath}/installer/cd-dvd/iso-image.nix"
    "${modulesPath}/profiles/all-hardware.nix"
  ];
  isoImage.makeEfiBootable = true;
  isoImage.makeUsbBootable = true;
}
