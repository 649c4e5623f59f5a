// The model: it is sound where the bytes have the identifier of a .tflite.
#ifndef TFLM_STAND_IN_SCHEMA_GENERATED_H_
#define TFLM_STAND_IN_SCHEMA_GENERATED_H_

#include <cstdint>
#include <cstring>

namespace tflite {

struct Model {
  unsigned char bytes[8];
  uint32_t version() const { return std::memcmp(bytes + 4, "TFL3", 4) == 0 ? 3 : 0; }
};

inline const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }

}  // namespace tflite

#endif  // TFLM_STAND_IN_SCHEMA_GENERATED_H_
