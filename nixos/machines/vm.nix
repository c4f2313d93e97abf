# SPDX-License-Identifier: MIT
# nix build .#nixosConfigurations.strata-vm-x86_64.config.system.build.vm && ./result/bin/run-strata-vm
{ modulesPath, ... }:
{
  imports = [ "${modulesPath}/virtualisation/qemu-vm.nix" ];
  virtualisation.memorySize = 2048;
  virtualisation.graphics = false;
  # The console belongs to whoever started the VM; there is no other way in.
  services.getty.autologinUser = "root";
}
