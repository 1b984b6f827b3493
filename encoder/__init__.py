"""Live: batches of the frame store -> one ffmpeg child a camera -> HLS."""
