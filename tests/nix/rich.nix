# SPDX-License-Identifier: MIT
# A machine that says something for every option of the module; a test finds an option that is missing here.
{ pkgs, ... }:
{
  services.strata = {
    enable = true;
    nodeId = "rich";
    runtimeDir = "/run/strata";
    operators = [ "alice" ];
    settings = {
      log_level = "warning";
      fs.strict_paths = true;
      identity.max_ttl_seconds = 3600;
    };
    registry.enable = true;
    identity.enable = true;
    identity.keyFile = "/run/secrets/strata-identity";
    fs.enable = true;
    sandbox = {
      enable = true;
      maxSessions = 12;
      ttl = "15min";
      network = "isolated";
      packages = [ pkgs.git ];
      limits = {
        memory_max = "512M";
        tasks_max = 128;
        cpu_quota = "150%";
        disk_max = "1G";
        inodes_max = 100000;
        files_max = 1024;
      };
      templates.node = {
        description = "JavaScript";
        base_rootfs = "/srv/roots/node";
        limits = {
          memory_max = "2G";
          tasks_max = 256;
          cpu_quota = "200%";
          disk_max = "4G";
          inodes_max = 200000;
          files_max = 2048;
        };
        env.NODE_ENV = "test";
        network = "host";
        packages = [ pkgs.hello ];
        ttl = "10min";
      };
    };
    api = {
      enable = true;
      address = "::";
      port = 8443;
      tls.certificateFile = "/var/lib/acme/strata/fullchain.pem";
      tls.keyFile = "/var/lib/acme/strata/key.pem";
      openFirewall = true;
    };
    services = {
      wiki = {
        command = [
          "${pkgs.hello}/bin/hello"
          "--greeting=\${PORT}"
        ];
        description = "A page that \"everybody\" edits";
        type = "exec";
        after = [ "fs" ];
        activation = "always";
        profile = "sealed";
        state_directory = true;
        start_timeout = "20s";
        stop_timeout = 5;
        environment.PORT = "4567";
        credentials.wiki-key = "/run/secrets/wiki";
        health = {
          kind = "http";
          url = "http://127.0.0.1:4567/";
          interval = "5s";
          timeout = 2;
          failures = 4;
        };
        restart = {
          backoff = "2s";
          backoff_max = "1min";
          crashes = 3;
          window = "5min";
        };
        limits = {
          memory_high = "192M";
          memory_max = "256M";
          memory_swap_max = "0";
          tasks_max = 64;
          cpu_quota = "50%";
          cpu_weight = 50;
          io_weight = 50;
          files_max = 512;
        };
        unit.Service.Nice = 5;
        unit.Unit.After = [
          "remote-fs.target"
          "time-sync.target"
        ];
      };
      echo = {
        command = [ "${pkgs.hello}/bin/hello" ];
        activation = "on-demand";
        socket.listen = "\${runtime_dir}/echo.sock";
        socket.mode = "0600";
        unit.Socket.Backlog = 16;
        health.kind = "tcp";
        health.target = "\${runtime_dir}/echo.sock";
      };
      watched = {
        command = [ "${pkgs.hello}/bin/hello" ];
        health.kind = "exec";
        health.command = [ "${pkgs.hello}/bin/hello" ];
      };
    };
  };
  users.users.alice = {
    isNormalUser = true;
    linger = true;
  };
}
