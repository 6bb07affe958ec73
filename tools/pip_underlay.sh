#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# pip_underlay.sh PYTHON: install each stand-in of underlay/ whose real package this Python cannot import.
set -eu
python=$1
venv=$(dirname "$(dirname "$python")")
wanted=()
for folder in underlay/*/; do
  package=$(basename "$folder")
  if "$python" -m pip show "ros-kd-underlay-${package//_/-}" >/dev/null 2>&1; then ours=yes; else ours=no; fi
  if [ "$ours" = no ] && (cd / && "$python" -c "import $package; assert $package.__file__") 2>/dev/null; then  # not our folder launch/
    echo "$package: the real one is there"
    continue
  fi
  if [ -f "$folder/CMakeLists.txt" ]; then
    # Compiled, and so built again only when its sources changed. It brings its generators: build isolation stays on.
    print=$(find "$folder" -type f -not -path '*/build/*' -not -path '*.egg-info/*' -print0 | sort -z | xargs -0 cat | sha256sum)
    if [ "$ours" = no ] || [ "$(cat "$venv/.underlay-$package" 2>/dev/null)" != "$print" ]; then
      echo "$package: building the interfaces (about a minute)"
      "$python" -m pip install --no-deps --force-reinstall "./$folder"
      echo "$print" >"$venv/.underlay-$package"
    fi
  else
    wanted+=("./$folder")
  fi
done
echo "Installing the stand-ins: ${wanted[*]}"
[ ${#wanted[@]} -eq 0 ] || "$python" -m pip install --no-deps --force-reinstall --no-build-isolation "${wanted[@]}"
rm -rf underlay/*/build underlay/*/*.egg-info
