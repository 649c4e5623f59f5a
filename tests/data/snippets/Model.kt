// Runs model.tflite on Android; put it into src/main/assets.
// in: "features": int8 [1, 16], scale 0.027315523, zero point 15
// out: "scores": int8 [1, 4], scale 0.00390625, zero point -128
// How "features" is made of a sample of the data:
//   1. x * 0.125 - 1.0
//   The code does step 1.
//
// Follows the CompiledModel of LiteRT for Android 2.3: https://ai.google.dev/edge/litert/next/android_kotlin
// build.gradle.kts: implementation("com.google.ai.edge.litert:litert:2.3.0")

import android.content.Context
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import kotlin.math.round

class DigitsModel(context: Context) : AutoCloseable {
    private val model =
        CompiledModel.create(context.assets, "model.tflite", CompiledModel.Options(Accelerator.CPU))
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    /** Takes 16 values; gives 4. */
    fun run(features: FloatArray): FloatArray {
        inputs[0].writeInt8(quantizeInt8(features, 0.027315523f, 15))
        model.run(inputs, outputs)
        return dequantizeInt8(outputs[0].readInt8(), 0.00390625f, -128)
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }

    fun top(scores: FloatArray): String = labels[scores.indices.maxBy { scores[it] }]

    /** Takes 16 values after the app's steps, gives what run() takes. */
    fun prepareFeatures(x: FloatArray): FloatArray {
        return FloatArray(16) { x[it] * 0.125f - 1.0f }
    }

    private fun quantizeInt8(x: FloatArray, scale: Float, zeroPoint: Int) =
        ByteArray(x.size) { (round(x[it] / scale) + zeroPoint).coerceIn(-128f, 127f).toInt().toByte() }

    private fun dequantizeInt8(q: ByteArray, scale: Float, zeroPoint: Int) =
        FloatArray(q.size) { (q[it] - zeroPoint) * scale }

    companion object {
        val labels = listOf(
            "ant",
            "bee \$5",
            "the \"cat\"",
            "dög",
        )
    }
}
