# Sourced by scripts/go and the Makefile: resolves libtorch and prints nothing.
# Sets ISLM_HOME, LIBTORCH, CGO_ENABLED, CGO_CXXFLAGS, CGO_LDFLAGS.
: "${ISLM_HOME:=${XDG_CACHE_HOME:-$HOME/.cache}/islm}"
LIBTORCH_VERSION=2.11.0
: "${LIBTORCH:=$ISLM_HOME/libtorch/$LIBTORCH_VERSION/torch}"
LIBTORCH=$(readlink -f "$LIBTORCH" 2>/dev/null || printf %s "$LIBTORCH")
if [ ! -f "$LIBTORCH/include/torch/csrc/api/include/torch/torch.h" ]; then
  echo "libtorch $LIBTORCH_VERSION is not at $LIBTORCH: run 'make bootstrap', or set LIBTORCH to its folder" >&2
  exit 3
fi
_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The header lies in ISLM_HOME under a name with its hash, so that a new clone
# of the repository reuses Go's build cache and a changed header does not.
_sum=$(sha256sum "$_scripts/compat.h" | cut -c1-12)
_compat="$ISLM_HOME/build/compat-$_sum.h"
_stubs="$ISLM_HOME/build/stubs"
if [ ! -f "$_compat" ]; then
  mkdir -p "$ISLM_HOME/build"
  cp "$_scripts/compat.h" "$_compat.$$.tmp" && mv "$_compat.$$.tmp" "$_compat"
fi
# gotch names CUDA's libraries on its link line; empty archives satisfy the
# linker on machines without them; so does libtorch, an empty library that only
# pulls in libtorch_cuda, which is opened at run time instead.
for _l in torch cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt c10_cuda torch_cuda; do
  if [ ! -f "$_stubs/lib$_l.a" ]; then
    mkdir -p "$_stubs"; printf '!<arch>\n' > "$_stubs/lib$_l.a.$$.tmp" && mv "$_stubs/lib$_l.a.$$.tmp" "$_stubs/lib$_l.a"
  fi
done
export ISLM_HOME LIBTORCH CGO_ENABLED=1
export CGO_CFLAGS="-O2 -g0 -I$LIBTORCH/include"
export CGO_CXXFLAGS="-O2 -g0 -std=c++17 -D_GLIBCXX_USE_CXX11_ABI=1 -I$LIBTORCH/include -I$LIBTORCH/include/torch/csrc/api/include -include $_compat"
export CGO_LDFLAGS="-L$_stubs -L$LIBTORCH/lib -Wl,--unresolved-symbols=ignore-in-shared-libs -Wl,-rpath,$LIBTORCH/lib"
export CGO_CFLAGS_ALLOW='.*' CGO_CXXFLAGS_ALLOW='.*' CGO_LDFLAGS_ALLOW='.*'
