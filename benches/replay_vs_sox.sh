#!/usr/bin/env bash
# How fast is `replay --speed max` beside sox, on the same files in the same run?
#
# Makes COUNT one-minute 8 kHz 16-bit mono files of quiet noise, mixes them with both, in turn, and
# compares the outputs byte for byte. Needs sox and python3. Prints wall-clock seconds; the files
# take COUNT MB under the folder for temporary files while it runs.
#
#   benches/replay_vs_sox.sh [COUNT] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-1000} rounds=${2:-3}

cargo build --release --quiet
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/files"

# Quiet enough that the sum fits 16 bits: then both programs must give the exact sum.
python3 - "$folder/files" "$count" <<'PYTHON'
import array, random, sys, wave
folder, count = sys.argv[1], int(sys.argv[2])
random.seed(1)
peak = max(1, 300 * 1000 // max(count, 1000))
noise = array.array("h", (random.randint(-peak, peak) for _ in range(480_000)))
for number in range(count):
    at = number * 977 % len(noise)
    with wave.open(f"{folder}/{number:05}.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((noise[at:] + noise[:at]).tobytes())
PYTHON

# One descriptor a file, for sox too.
ulimit -n "$(ulimit -Hn)"
inputs=()
for file in "$folder"/files/*.wav; do inputs+=(-v 1 "$file"); done

TIMEFORMAT=%R
ours() { target/release/mixpool replay "$folder/files" --streams-max "$count" --speed max --limiter off \
    --record "$folder/ours.wav" > "$folder/report.txt"; }
theirs() { sox -D -m "${inputs[@]}" "$folder/theirs.wav"; }

ours # once, to fill the page cache
for round in $(seq "$rounds"); do
    printf 'round %s: mixpool ' "$round"; { time ours; } 2>&1
    printf '         sox     '; { time theirs; } 2>&1
done
cmp "$folder/ours.wav" "$folder/theirs.wav"
echo "the outputs are the same, byte for byte"
