# Sources that hang on a processor compile for another one too.

@test "every source compiles for aarch64, with GCC's vectors in place of x86's" {
  command -v aarch64-linux-gnu-gcc || skip "no aarch64-linux-gnu-gcc (apt install gcc-aarch64-linux-gnu)"
  cd "$BATS_TEST_DIRNAME/.."
  env -u MAKEFLAGS -u MFLAGS make BUILD="${BUILD:-build}" aarch64
}
