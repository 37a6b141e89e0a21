//! The messages of an APPEND as they come in.
//!
//! A message that is small and comes without being asked for is kept until the command is complete, or another message follows: one visit to a worker
//! checks, stages, flushes and commits it. What is larger, or waits for a word from us, goes to its staging file as it comes.

use std::io::Write;

use super::{Connection, Flow};
use crate::os::clock;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::frame::Literal;
use crate::protocol::imap::session::{Progress, Session};

/// Bytes of a message that are gathered: for one write to its staging file, or until it is complete.
pub(super) const GATHER: usize = 512 * 1024;

/// A message that is kept until it is complete.
pub(super) struct Whole {
    /// What stands before it.
    head: Vec<u8>,
    literal: Literal,
    bytes: Vec<u8>,
}

impl Connection {
    pub(super) async fn message(&mut self, head: Vec<u8>, literal: Literal) -> Flow<()> {
        self.take_whole().await?;
        if self.refused.is_some() {
            self.framer.refuse();
            return Ok(());
        }
        if !literal.waits && literal.size < GATHER as u64 && !self.line.is_stranger() {
            // It comes anyway, and there is room for it.
            self.whole = Some(Box::new(Whole { head, literal, bytes: Vec::new() }));
            self.framer.accept();
            return Ok(());
        }
        match self.on_worker(false, move |session| session.append_message(&head, literal)).await? {
            Ok(staging) => {
                self.staging = Some(Box::new(staging));
                self.framer.accept();
                if literal.waits {
                    self.write(b"+ go ahead\r\n").await?;
                }
            }
            Err(refused) => {
                self.refused = Some(refused);
                self.framer.refuse();
            }
        }
        Ok(())
    }

    /// Takes a message that is there to a worker, because another one follows it.
    async fn take_whole(&mut self) -> Flow<()> {
        if let Some(whole) = self.whole.take() {
            let taken =
                self.on_worker(false, move |session| session.append_whole(&whole.head, whole.literal, &whole.bytes));
            self.refused = taken.await?.err();
        }
        Ok(())
    }

    /// Writes what was gathered to the staging file.
    pub(super) async fn spill(&mut self) -> Flow<()> {
        let bytes = std::mem::take(&mut self.gathered);
        let Some(staging) = self.staging.take() else {
            return Ok(());
        };
        let written = self.line.work(false, staging, move |staging| staging.write_all(&bytes)).await?;
        match written {
            (staging, Ok(())) => self.staging = Some(staging),
            (_, Err(error)) => {
                self.give_up(Answer::unwritten(&error)).await?;
                self.framer.abandon();
            }
        }
        Ok(())
    }

    /// The APPEND under way failed; its answer waits until the client has sent all of it.
    async fn give_up(&mut self, answer: Answer) -> Flow<()> {
        let tag = self.on_worker(false, Session::append_abandon).await?;
        self.refused = Some((tag.unwrap_or_else(|| "*".to_owned()), answer));
        Ok(())
    }

    pub(super) async fn message_end(&mut self) -> Flow<()> {
        let bytes = std::mem::take(&mut self.gathered);
        if let Some(whole) = &mut self.whole {
            whole.bytes = bytes;
            return Ok(());
        }
        let Some(staging) = self.staging.take() else {
            return Ok(());
        };
        if let Err(answer) = self.on_worker(false, move |session| session.append_rest(*staging, &bytes)).await? {
            self.give_up(answer).await?;
        }
        Ok(())
    }

    pub(super) async fn append_end(&mut self, rest: Vec<u8>) -> Flow<()> {
        // A command that did not come by way of `command`.
        self.line.pace().await?;
        if let Some((tag, answer)) = self.refused.take() {
            return self.answer(&tag, &answer).await;
        }
        let whole = self.whole.take();
        let (progress, out) = self
            .on_worker(false, move |session| {
                let mut out = Vec::new();
                if let Some(whole) = whole
                    && let Err((tag, answer)) = session.append_whole(&whole.head, whole.literal, &whole.bytes)
                {
                    answer.write(&tag, &mut out);
                    return (Progress::Done, out);
                }
                (session.append_finish(&rest, clock::now_s(), &mut out), out)
            })
            .await?;
        self.progress(progress, out, false).await
    }
}
