//! The messages in the body of a call, each in its gRPC frame.
//!
//! A message that is too long is refused by its length, unread. What was read is given back to the caller's
//! window, so that bodies longer than the window arrive; a body in one piece is not copied.
//!
//! Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::future::poll_fn;

use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;

use super::call::Undecided;
use super::status;

/// The bytes before a message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

/// The messages of one call.
pub(super) struct Messages {
    body: RecvStream,
    at_most: usize,
    /// Read and not yet taken.
    held: Bytes,
    ended: bool,
}

impl Messages {
    /// Those in `body`, none of which may be longer than `at_most` bytes.
    pub(super) fn of(body: RecvStream, at_most: usize) -> Self {
        Self { body, at_most, held: Bytes::new(), ended: false }
    }

    /// The next message, or `None` once the caller has said that there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Undecided> {
        loop {
            if let Some(message) = self.split()? {
                return Ok(Some(message));
            }
            match self.data().await? {
                Some(data) => self.hold(data),
                None if self.held.is_empty() => return Ok(None),
                None => return Err(status::no_frame("the message ends before its length").into()),
            }
        }
    }

    /// The message that what is held begins with, if it is there as a whole.
    fn split(&mut self) -> Result<Option<Bytes>, Undecided> {
        let Some((&[flag, length @ ..], rest)) = self.held.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        match flag {
            0 => {}
            1 => {
                return Err(
                    status::no_frame("the message is compressed, and grpc-encoding is not set").into()
                );
            }
            _ => return Err(status::no_frame("the message has an unknown compression flag").into()),
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.at_most {
            return Err(status::too_long(length, self.at_most).into());
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.held.advance(PREFIX_BYTES);
        Ok(Some(self.held.split_to(length)))
    }

    /// What arrives next, or `None` at the end of the body; trailers are not looked at.
    async fn data(&mut self) -> Result<Option<Bytes>, Undecided> {
        if self.ended {
            return Ok(None);
        }
        match poll_fn(|context| self.body.poll_data(context)).await {
            Some(Ok(data)) => {
                self.ended = self.body.is_end_stream();
                if !self.ended {
                    self.body.flow_control().release_capacity(data.len()).map_err(|_| Undecided::Gone)?;
                }
                Ok(Some(data))
            }
            Some(Err(_)) => Err(Undecided::Gone),
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    fn hold(&mut self, data: Bytes) {
        if self.held.is_empty() {
            self.held = data;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.held));
            joined.extend_from_slice(&data);
            self.held = joined.freeze();
        }
    }
}
