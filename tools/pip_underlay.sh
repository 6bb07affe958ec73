#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# pip_underlay.sh PYTHON: install each stand-in of underlay/ whose real package this Python cannot import.
set -eu
python=$1
for folder in underlay/*/; do
  package=$(basename "$folder")
  ours=$("$python" -m pip show "ros-kd-underlay-${package//_/-}" >/dev/null 2>&1 && echo yes || echo no)
  if [ "$ours" = no ] && "$python" -c "import $package" 2>/dev/null; then
    echo "$package: the real one is there"
    continue
  fi
  isolation=--no-build-isolation
  [ -f "$folder/CMakeLists.txt" ] && isolation=  # the interface package brings its generators
  # A compiled package is built again only when its sources changed.
  print=$(find "$folder" -type f -not -path '*/build/*' -not -path '*.egg-info/*' -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  stamp=$(dirname "$python")/../.underlay-$package
  [ "$ours" = yes ] && [ "$(cat "$stamp" 2>/dev/null)" = "$print" ] && { echo "$package: up to date"; continue; }
  echo "$package: installing the stand-in"
  "$python" -m pip install --no-deps --force-reinstall $isolation "./$folder"
  rm -rf "$folder/build" "$folder"/*.egg-info
  echo "$print" >"$stamp"
done
