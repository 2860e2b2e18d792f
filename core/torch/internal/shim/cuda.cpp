//go:build torch

// CUDA without linking it: libtorch_cuda.so registers its kernels when it is
// opened, which is done only where the driver is present.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstring>
#include <string>

extern "C" {
char *islm_cuda_open(void) {
  static bool opened = false;
  if (opened) return nullptr;
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL);
  if (!driver) return strdup("no CUDA driver: libcuda.so.1 is not on this machine");
  if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) return strdup(dlerror());
  opened = true;
  return nullptr;
}
int islm_cuda_count(void) {
  try {
    return at::hasCUDA() ? static_cast<int>(at::detail::getCUDAHooks().deviceCount()) : 0;
  } catch (...) {
    return 0;
  }
}
// Name and memory come from the driver itself, so that no CUDA header is needed.
char *islm_cuda_name(int index, char **name, int64_t *total, int64_t *free_bytes) {
  void *d = dlopen("libcuda.so.1", RTLD_LAZY);
  if (!d) return strdup("no CUDA driver: libcuda.so.1 is not on this machine");
  auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(d, "cuInit"));
  auto get = reinterpret_cast<int (*)(int *, int)>(dlsym(d, "cuDeviceGet"));
  auto nm = reinterpret_cast<int (*)(char *, int, int)>(dlsym(d, "cuDeviceGetName"));
  auto mem = reinterpret_cast<int (*)(size_t *, int)>(dlsym(d, "cuDeviceTotalMem_v2"));
  int dev = 0;
  size_t bytes = 0;
  char buf[256] = {0};
  if (!init || !get || !nm || !mem || init(0) || get(&dev, index) || nm(buf, 255, dev) || mem(&bytes, dev))
    return strdup("the CUDA driver does not describe this device");
  *name = strdup(buf);
  *total = static_cast<int64_t>(bytes);
  *free_bytes = -1;
  return nullptr;
}
char *islm_cuda_sync(int index) {
  try {
    c10::impl::VirtualGuardImpl g(c10::DeviceType::CUDA);
    g.synchronizeDevice(static_cast<c10::DeviceIndex>(index));
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  }
}
}
