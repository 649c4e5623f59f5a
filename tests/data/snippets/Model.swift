// Runs model.tflite on iOS or macOS; add it to the target.
// in: "features": int8 [1, 16], scale 0.027315523, zero point 15
// out: "scores": int8 [1, 4], scale 0.00390625, zero point -128
// How "features" is made of a sample of the data:
//   1. x * 0.125 - 1.0
//   The code does step 1.
//
// Follows the CompiledModel of LiteRT Swift 2.3:
// https://github.com/google-ai-edge/LiteRT/tree/main/litert/swift
// Add the package https://github.com/google-ai-edge/LiteRT, branch release/2.3.0, product LiteRT.

import Foundation
import LiteRT

final class DigitsModel {
  private let environment: Environment
  private let model: CompiledModel
  private let inputBuffers: [TensorBuffer]
  private let outputBuffers: [TensorBuffer]

  static let labels = [
    "ant",
    "bee $5",
    "the \"cat\"",
    "dög",
  ]

  init(path: String = Bundle.main.path(forResource: "model", ofType: "tflite")!) throws {
    let options = try Options()
    try options.setHardwareAccelerators([.cpu])
    environment = try Environment()
    let model = try CompiledModel(filePath: path, environment: environment, options: options)
    inputBuffers = try model.createInputBuffers()
    outputBuffers = try model.createOutputBuffers()
    self.model = model
  }

  /// Takes 16 values; gives 4.
  func run(features: [Float]) throws -> [Float] {
    try inputBuffers[0].write(quantizeInt8(features, scale: 0.027315523, zeroPoint: 15))
    try model.run(inputs: inputBuffers, outputs: outputBuffers)
    let scores: [Int8] = try outputBuffers[0].read()
    return scores.map { (Float($0) + 128) * 0.00390625 }
  }

  func top(_ scores: [Float]) -> String {
    Self.labels[scores.indices.max { scores[$0] < scores[$1] }!]
  }

  /// Takes 16 values after the app's steps, gives what run() takes.
  func prepareFeatures(_ x: [Float]) -> [Float] {
    return (0..<16).map { x[$0] * 0.125 - 1.0 }
  }

  private func quantizeInt8(_ x: [Float], scale: Float, zeroPoint: Float) -> [Int8] {
    x.map { Int8(min(max(($0 / scale).rounded(.toNearestOrEven) + zeroPoint, -128), 127)) }
  }
}
