# SPDX-License-Identifier: MIT
# From its source, for the libsystemd of this nixpkgs; the C code that Cython made of it is in there.
{
  buildPythonPackage,
  fetchPypi,
  pkg-config,
  setuptools,
  cython,
  systemd,
  version,
  hash,
  dependencies,
}:
buildPythonPackage {
  pname = "pystemd";
  inherit version dependencies;
  pyproject = true;

  src = fetchPypi {
    pname = "pystemd";
    inherit version hash;
  };

  build-system = [
    setuptools
    cython
  ];
  nativeBuildInputs = [ pkg-config ];
  buildInputs = [ systemd ];

  # Its tests want a bus.
  doCheck = false;
  pythonImportsCheck = [ "pystemd" ];
}
