"""Source -> packets -> fragments -> references. Owns the camera connections and the frame store."""
