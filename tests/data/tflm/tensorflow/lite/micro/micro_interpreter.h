// What the C++ snippet uses of TensorFlow Lite Micro, declared anew: it computes nothing. Inputs and outputs are the
// arrays below, for a test to look into; whatever they hold before Invoke() they hold after it.
#ifndef TFLM_STAND_IN_MICRO_INTERPRETER_H_
#define TFLM_STAND_IN_MICRO_INTERPRETER_H_

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

alignas(16) inline unsigned char inputs[4][1 << 17];
alignas(16) inline unsigned char outputs[4][1 << 17];

class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver& resolver, uint8_t* arena, size_t arena_size)
      : sound_(resolver.complete() && reinterpret_cast<uintptr_t>(arena) % 16 == 0 && arena_size >= 1024) {}

  TfLiteStatus AllocateTensors() { return sound_ ? kTfLiteOk : kTfLiteError; }
  TfLiteStatus Invoke() { return kTfLiteOk; }
  TfLiteStatus Reset() { return kTfLiteOk; }

  template <class T>
  T* typed_input_tensor(int index) {
    return reinterpret_cast<T*>(inputs[index]);
  }

  template <class T>
  T* typed_output_tensor(int index) {
    return reinterpret_cast<T*>(outputs[index]);
  }

 private:
  bool sound_;
};

}  // namespace tflite

#endif  // TFLM_STAND_IN_MICRO_INTERPRETER_H_
