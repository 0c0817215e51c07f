"""SIPp as a phone that calls, and as what answers the call in the mixer's name."""

import subprocess

import audio
from rtp import COUNT, DELAY, DELAY_S
from ports import free_port
from server import ROOT, Server, TIMEOUT_S, expect_alone, expect_whole, run
from sipp import HERE, caller

ALPHABET = ROOT / "testdata/speech-alphabet-8000-mono-s16.wav"


def _call(folder, source, encoding, container, payload_type, table):
    """A call that plays a file: what the phone sends after the answer is what is mixed."""
    port, callee_port, caller_port, media_port = (free_port() for _ in range(4))
    # SIPp sends whole packets of 20 ms alone.
    whole, encoded = folder / "whole.wav", folder / "encoded"
    run(["sox", source, whole, "pad", "0", f"{-len(audio.read_wav(source)) % 160}s"])
    run(["sox", "-D", whole, "-t", container, encoded])
    sent, original = audio.decoded(encoded.read_bytes(), table), audio.read_wav(whole)
    local = ["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "30"]
    scenario = caller(folder, audio=encoded, payload_type=payload_type, encoding=encoding)
    call_ms = len(sent) // 8 + 500
    with Server(folder, "--rtp", f"127.0.0.1:{port}", *DELAY, ports=[port, port + 1]) as server:
        answers = subprocess.Popen(
            ["sipp", "-sf", HERE / "callee.xml", "-key", "rtp_port", str(port), "-p", str(callee_port), *local],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
        )
        try:
            run(["sipp", f"127.0.0.1:{callee_port}", "-sf", scenario, "-p", caller_port, "-mp", media_port,
                 "-d", call_ms, *local], cwd=folder)
            assert answers.wait(TIMEOUT_S) == 0, "the callee saw no whole call"
        finally:
            if answers.poll() is None:
                answers.kill()
            answers.wait()
        server.mix_for(DELAY_S)
        report, mix = server.finish()
    expect_whole(report, [len(sent)])
    expect_alone(sent, mix)
    snr = audio.snr_db(original, sent)
    assert snr > 30, f"{snr:.1f} dB"
    return f"{len(sent)} samples bit for bit, {snr:.1f} dB"


def a_sipp_call_in_pcma_is_mixed_as_sent(folder):
    return _call(folder, COUNT, "PCMA", "al", 8, audio.A_LAW)


def a_sipp_call_in_pcmu_is_mixed_as_sent(folder):
    return _call(folder, ALPHABET, "PCMU", "ul", 0, audio.MU_LAW)
