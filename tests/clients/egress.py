"""ffmpeg and GStreamer as receivers of the whole mix."""
