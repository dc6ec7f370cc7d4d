#!/bin/sh
# Makes the media beside this script: 16 s of H.264 and AAC in fragmented MP4, segments of 2 s,
# in three renditions of about 0.4, 1.2 and 3 Mb/s, each in a folder of its own.
#
# The picture is ffmpeg's moving test card under noise: without noise the encoder would leave most
# of the bit rate unspent and the traffic would not be that of a real stream.
set -eu
cd "$(dirname "$0")"

command -v ffmpeg >/dev/null || {
    apt-get update
    apt-get install -y --no-install-recommends ffmpeg
}

# folder size video-bit-rate audio-bit-rate level noise
rendition() {
    rm -rf "$1"
    mkdir "$1"
    # One key frame every 2 s and none between, so that segments are equally long; a buffer of
    # half a second keeps each of them near the average rate.
    ffmpeg -hide_banner -loglevel error -nostdin -y \
        -f lavfi -i "testsrc2=size=$2:rate=25,noise=alls=$6:allf=t" \
        -f lavfi -i "aevalsrc=0.2*sin(2*PI*(330+110*floor(t/2))*t)+0.02*(random(0)-0.5):s=48000" \
        -t 16 -map 0:v -map 1:a \
        -c:v libx264 -preset medium -profile:v main -level:v "$5" -pix_fmt yuv420p \
        -bf 0 -g 50 -keyint_min 50 -sc_threshold 0 -x264-params "threads=1" \
        -b:v "$3k" -maxrate "$3k" -bufsize "$(($3 / 2))k" \
        -c:a aac -b:a "$4k" -ac 2 \
        -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 \
        -f hls -hls_time 2 -hls_list_size 0 -hls_playlist_type vod \
        -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 \
        -hls_segment_filename "$1/seg-%03d.m4s" "$1/list.m3u8"
    # The origin writes its own playlists.
    rm "$1/list.m3u8"
}

rendition low 426x240 340 48 1.3 12
rendition mid 640x360 1130 64 3.0 12
rendition top 1280x720 2870 96 3.1 8
du -sh .
