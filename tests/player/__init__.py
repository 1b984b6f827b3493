"""A real player: hls.js in Chromium plays what Cradle publishes, and tells what it saw."""
