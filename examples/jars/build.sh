#!/bin/sh
# Builds counting.jar, into this folder or another: sh examples/jars/build.sh [FOLDER]
# It needs a JDK from 17 on, whose files run on Java 11 too, and a Python that has apache-flink, whose jars it is compiled against.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
into=$(cd "${1:-$here}" && pwd)
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
flink=$("${PYTHON:-python}" -c "import os, pyflink; print(os.path.dirname(pyflink.__file__))")
javac --release 11 -classpath "$flink/lib/*" -d "$classes" "$here/WordCount.java" "$here/Sums.java"
jar --create --date=2026-11-27T00:00:00Z --file "$into/counting.jar" -C "$classes" .
