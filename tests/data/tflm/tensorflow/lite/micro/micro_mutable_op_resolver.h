// The op resolver: it counts what is added, and refuses more ops than it has room for.
#ifndef TFLM_STAND_IN_MICRO_MUTABLE_OP_RESOLVER_H_
#define TFLM_STAND_IN_MICRO_MUTABLE_OP_RESOLVER_H_

typedef enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;

namespace tflite {

class MicroOpResolver {
 public:
  virtual ~MicroOpResolver() = default;
  virtual bool complete() const = 0;
};

template <unsigned int room>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd() { return Count(); }
  TfLiteStatus AddConcatenation() { return Count(); }
  TfLiteStatus AddConv2D() { return Count(); }
  TfLiteStatus AddDepthwiseConv2D() { return Count(); }
  TfLiteStatus AddDequantize() { return Count(); }
  TfLiteStatus AddFullyConnected() { return Count(); }
  TfLiteStatus AddMean() { return Count(); }
  TfLiteStatus AddPad() { return Count(); }
  TfLiteStatus AddQuantize() { return Count(); }
  TfLiteStatus AddReshape() { return Count(); }
  TfLiteStatus AddSoftmax() { return Count(); }
  TfLiteStatus AddUnidirectionalSequenceLSTM() { return Count(); }

  bool complete() const override { return count_ == room; }

 private:
  TfLiteStatus Count() { return ++count_ <= room ? kTfLiteOk : kTfLiteError; }

  unsigned int count_ = 0;
};

}  // namespace tflite

#endif  // TFLM_STAND_IN_MICRO_MUTABLE_OP_RESOLVER_H_
