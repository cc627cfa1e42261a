"""Measures Whisper large-v3-turbo of random weights in Hugging Face transformers: batched generate in bfloat16 with SDPA and
a static cache, so many tokens a window, none of which ends it. Prints one JSON object; rtfx is seconds of sound a second."""

import argparse
import json
import statistics
import time

import torch
import transformers
from transformers import WhisperConfig, WhisperForConditionalGeneration

TURBO = dict(
    vocab_size=51866, num_mel_bins=128, d_model=1280, encoder_layers=32, encoder_attention_heads=20, encoder_ffn_dim=5120,
    decoder_layers=4, decoder_attention_heads=20, decoder_ffn_dim=5120, max_source_positions=1500, max_target_positions=448,
    pad_token_id=50257, bos_token_id=50257, eos_token_id=50257, decoder_start_token_id=50258,
)
WINDOW_SECONDS = 30


def timed(f, repeat):
    """The median of the times of f in seconds, the first not counted."""
    times = []
    for _ in range(repeat + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        f()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(1)
    config = WhisperConfig(**TURBO, attn_implementation="sdpa")
    model = WhisperForConditionalGeneration(config).to("cuda", torch.bfloat16).eval()
    results = []
    for batch in args.batch:
        mel = torch.rand(batch, TURBO["num_mel_bins"], 100 * WINDOW_SECONDS, device="cuda", dtype=torch.bfloat16) * 2 - 1
        how = dict(
            max_new_tokens=args.tokens, min_new_tokens=args.tokens, do_sample=False, num_beams=1, cache_implementation="static",
            return_timestamps=False,
        )
        with torch.inference_mode():
            out = model.generate(mel, **how)
            seconds = timed(lambda: model.generate(mel, **how), args.repeat)
            encode = timed(lambda: model.model.encoder(mel), args.repeat)
        results.append({
            "geometry": "turbo", "batch": batch, "tokens": args.tokens, "made": int(out.shape[-1]), "seconds": seconds,
            "encode_ms_per_window": 1000 * encode / batch, "rtfx": batch * WINDOW_SECONDS / seconds,
        })
    print(json.dumps({
        "peer": "transformers " + transformers.__version__, "torch": torch.__version__, "gpu": torch.cuda.get_device_name(),
        "generate": results,
    }))


if __name__ == "__main__":
    main()
