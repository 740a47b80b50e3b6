// SPDX-License-Identifier: Apache-2.0
//
// Stands in for the CUDA driver, libcuda.so.1, on a machine without one, so that
// a client library which was linked against the driver can be loaded. Every call
// says "no device". Only for tests.
//
//   cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o libcuda.so.1 cuda.c

// CUDA_ERROR_NO_DEVICE.
enum { NO_DEVICE = 100 };

#define STUB(name) \
  int name(void);  \
  int name(void) { return NO_DEVICE; }

STUB(cuCtxGetDevice)
STUB(cuCtxSetCurrent)
STUB(cuDeviceGet)
STUB(cuDeviceGetAttribute)
STUB(cuDevicePrimaryCtxRelease_v2)
STUB(cuDevicePrimaryCtxRetain)
STUB(cuGetErrorName)
STUB(cuGetErrorString)
STUB(cuInit)
STUB(cuMemAddressFree)
STUB(cuMemAddressReserve)
STUB(cuMemCreate)
STUB(cuMemExportToShareableHandle)
STUB(cuMemGetAddressRange_v2)
STUB(cuMemGetAllocationGranularity)
STUB(cuMemGetHandleForAddressRange)
STUB(cuMemImportFromShareableHandle)
STUB(cuMemMap)
STUB(cuMemRelease)
STUB(cuMemRetainAllocationHandle)
STUB(cuMemSetAccess)
STUB(cuMemUnmap)
STUB(cuPointerGetAttribute)
STUB(cuPointerSetAttribute)
