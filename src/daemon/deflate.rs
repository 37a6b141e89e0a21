//! DEFLATE over another stream (RFC 4978, RFC 1951): raw, in both directions, one stream each for as long as the connection lives.
//!
//! What a client sends is inflated into the buffer of the reader and no further: a few bytes that stand for many are read in as many steps, and
//! the limits of commands count what comes out. What is written is compressed at once and sent at each flush.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use super::stream::Stream;

/// Bytes read from below at a time.
const READ_BYTES: usize = 4 * 1024;
/// Bytes compressed at a time.
const WRITE_BYTES: usize = 16 * 1024;
/// Compressed bytes that may wait before more is taken.
const WAITING: usize = 64 * 1024;
/// The window of our side, 2^13 bytes: a connection has one of its own, and answers repeat themselves soon. A client may use all of 2^15.
const WINDOW_BITS: u8 = 13;

/// A stream under compression.
pub struct Deflated {
    below: Stream,
    inflate: Decompress,
    /// Compressed bytes that came, from `at` on.
    input: Vec<u8>,
    at: usize,
    /// The last step filled the reader's buffer: there may be more without further input.
    more: bool,
    /// The client ended its compressed stream: nothing can follow.
    ended: bool,
    deflate: Compress,
    /// Compressed bytes that wait, from `sent` on.
    output: Vec<u8>,
    sent: usize,
    /// Something was written since the last flush.
    dirty: bool,
}

impl std::fmt::Debug for Deflated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflated").field("below", &self.below).finish_non_exhaustive()
    }
}

impl Deflated {
    /// The stream that the compressed bytes go through.
    pub fn below(&self) -> &Stream {
        &self.below
    }

    /// Compresses what goes through `below`; `input` came from there already.
    pub fn new(below: Stream, input: Vec<u8>) -> Deflated {
        Deflated {
            below,
            inflate: Decompress::new(false),
            input,
            at: 0,
            more: false,
            ended: false,
            deflate: Compress::new_with_window_bits(Compression::fast(), false, WINDOW_BITS),
            output: Vec::new(),
            sent: 0,
            dirty: false,
        }
    }

    /// Inflates into `buffer` what is there; true when something came out.
    fn inflate(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        let input = self.input.get(self.at..).unwrap_or_default();
        if (input.is_empty() && !self.more) || self.ended {
            return Ok(false);
        }
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let room = buffer.initialize_unfilled();
        let whole = room.len();
        let status = self.inflate.decompress(input, room, FlushDecompress::None).map_err(io::Error::other)?;
        let used = usize::try_from(self.inflate.total_in() - before_in).unwrap_or(usize::MAX);
        let came = usize::try_from(self.inflate.total_out() - before_out).unwrap_or(usize::MAX);
        self.at = self.at.saturating_add(used);
        self.more = came == whole;
        self.ended = status == Status::StreamEnd;
        buffer.advance(came);
        if used == 0 && came == 0 && !input.is_empty() && !self.ended {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(came > 0)
    }

    /// Compresses `bytes` behind what waits.
    fn deflate(&mut self, mut bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        loop {
            self.output.reserve(WRITE_BYTES / 2);
            let before = self.deflate.total_in();
            self.deflate.compress_vec(bytes, &mut self.output, flush).map_err(io::Error::other)?;
            let used = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            bytes = bytes.get(used..).unwrap_or_default();
            // Room that is left says that all is out.
            if bytes.is_empty() && self.output.len() < self.output.capacity() {
                return Ok(());
            }
        }
    }

    /// Sends what waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.below).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.output.clear();
        self.output.shrink_to(WRITE_BYTES);
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Deflated {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // Much may come out of little: other tasks of the thread have their turn in between.
        let step = ready!(coop::poll_proceed(cx));
        loop {
            if this.inflate(buffer)? || this.ended {
                step.made_progress();
                return Poll::Ready(Ok(()));
            }
            if this.at < this.input.len() || this.more {
                continue;
            }
            let mut room = [0; READ_BYTES];
            let mut raw = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.below).poll_read(cx, &mut raw))?;
            this.input.clear();
            this.input.shrink_to(READ_BYTES);
            this.at = 0;
            this.input.extend_from_slice(raw.filled());
            if this.input.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.output.len() >= WAITING {
            ready!(this.poll_drain(cx))?;
        }
        let now = bytes.get(..bytes.len().min(WRITE_BYTES)).unwrap_or_default();
        this.deflate(now, FlushCompress::None)?;
        this.dirty = true;
        Poll::Ready(Ok(now.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.dirty) {
            this.deflate(&[], FlushCompress::Sync)?;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.below).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut *this).poll_flush(cx))?;
        Pin::new(&mut this.below).poll_shutdown(cx)
    }
}
