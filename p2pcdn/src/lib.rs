//! Viewers of an HLS stream fetch its segments from each other over WebRTC, beside the CDN and never worse than with it alone.
