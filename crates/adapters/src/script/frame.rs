//! What goes between the pool and a process: frames of a length (u32, big-endian) and so many bytes.

use std::io::{self, Read, Write};

use narrowgate_platform::{
    ids::UnixMillis,
    ports::{Circumstances, FAULT_MESSAGE_BYTES_MAX, Fault, FaultKind, SCRIPT_BYTES_MAX},
};

/// Bytes of the longest frame: a source and an argument, each within its own limit, leave room.
const BYTES_MAX: usize = SCRIPT_BYTES_MAX + (4 << 20);

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Check,
    Decode,
    Encode,
}

impl Task {
    const ALL: [Self; 3] = [Self::Check, Self::Decode, Self::Encode];
}

/// A call. `source`: where the process does not know the script yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    pub(super) task: Task,
    pub(super) digest: [u8; 32],
    pub(super) circumstances: Circumstances,
    pub(super) source: Option<&'a str>,
    pub(super) argument: &'a [u8],
}

impl<'a> Question<'a> {
    pub(super) fn emit(&self) -> Vec<u8> {
        let source = self.source.unwrap_or_default();
        let mut out = Vec::with_capacity(64 + source.len() + self.argument.len());
        out.push(self.task as u8);
        out.extend(self.digest);
        out.extend(self.circumstances.arrival.0.to_be_bytes());
        out.extend(self.circumstances.seed.to_be_bytes());
        out.push(u8::from(self.source.is_some()));
        out.extend((source.len() as u32).to_be_bytes());
        out.extend(source.as_bytes());
        out.extend(self.argument);
        out
    }

    pub(super) fn parse(mut frame: &'a [u8]) -> Option<Self> {
        let [task] = take(&mut frame)?;
        let task = *Task::ALL.get(usize::from(task))?;
        let digest = take(&mut frame)?;
        let arrival = UnixMillis(i64::from_be_bytes(take(&mut frame)?));
        let seed = u64::from_be_bytes(take(&mut frame)?);
        let [has_source] = take(&mut frame)?;
        let length = u32::from_be_bytes(take(&mut frame)?) as usize;
        let (source, argument) = frame.split_at_checked(length)?;
        let source = std::str::from_utf8(source).ok()?;
        let circumstances = Circumstances { arrival, seed };
        Some(Self { task, digest, circumstances, source: (has_source == 1).then_some(source), argument })
    }
}

/// What a process answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The result: text, or bytes.
    Done(Vec<u8>),
    Failed(Fault),
    /// The process does not know the script: the same question again, with the source.
    SourceWanted,
}

/// An answer, with the nanoseconds of processor time that it took.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) told: Told,
    pub(super) spent_ns: u64,
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const SOURCE_WANTED: u8 = 2;

impl Answer {
    pub(super) fn emit(&self) -> Vec<u8> {
        let mut out = self.spent_ns.to_be_bytes().to_vec();
        match &self.told {
            Told::Done(result) => {
                out.push(DONE);
                out.extend(result);
            }
            Told::Failed(fault) => {
                out.push(FAILED);
                out.push(fault.kind as u8);
                out.extend(fault.line.unwrap_or(0).to_be_bytes());
                out.extend(fault.message.as_bytes());
            }
            Told::SourceWanted => out.push(SOURCE_WANTED),
        }
        out
    }

    pub(super) fn parse(mut frame: &[u8]) -> Option<Self> {
        let spent_ns = u64::from_be_bytes(take(&mut frame)?);
        let [status] = take(&mut frame)?;
        let told = match status {
            DONE => Told::Done(frame.to_vec()),
            FAILED => {
                let [kind] = take(&mut frame)?;
                let kind = *FaultKind::ALL.iter().find(|known| **known as u8 == kind)?;
                let line = u32::from_be_bytes(take(&mut frame)?);
                let message = frame.get(..frame.len().min(FAULT_MESSAGE_BYTES_MAX))?;
                let message = String::from_utf8_lossy(message);
                Told::Failed(Fault::at(kind, message, (line > 0).then_some(line)))
            }
            SOURCE_WANTED => Told::SourceWanted,
            _ => return None,
        };
        Some(Self { told, spent_ns })
    }
}

/// The first bytes.
pub(super) fn take<const N: usize>(frame: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = frame.split_first_chunk::<N>()?;
    *frame = rest;
    Some(*head)
}

/// Writes a frame.
pub(super) fn write(stream: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let mut out = Vec::with_capacity(4 + frame.len());
    append(&mut out, frame);
    stream.write_all(&out)
}

/// Adds a frame to others that are written together.
pub(super) fn append(out: &mut Vec<u8>, frame: &[u8]) {
    out.extend((frame.len() as u32).to_be_bytes());
    out.extend(frame);
}

/// Reads a frame. An interruption in the middle of one loses nothing: what came is in `Reader`.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// Whether a whole frame is there already.
    pub(super) fn has_frame(&self) -> bool {
        let length = self.buffer.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize);
        length.is_some_and(|length| self.buffer.len() - 4 >= length)
    }

    /// Reads on until a frame is complete, and returns it.
    ///
    /// # Errors
    /// What the stream says, `WouldBlock` included, after which a further call goes on; `UnexpectedEof` at
    /// its end.
    pub(super) fn read(&mut self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > BYTES_MAX {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
                }
                if self.buffer.len() - 4 >= length {
                    let frame = self.buffer[4..4 + length].to_vec();
                    self.buffer.drain(..4 + length);
                    return Ok(frame);
                }
            }
            let mut chunk = [0; 16 << 10];
            match stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_arrive_as_they_were() {
        let circumstances = Circumstances { arrival: UnixMillis(-5), seed: u64::MAX };
        for (task, source) in [(Task::Check, Some("s")), (Task::Decode, None), (Task::Encode, Some(""))] {
            let question = Question { task, digest: [7; 32], circumstances, source, argument: b"abc" };
            assert_eq!(Question::parse(&question.emit()), Some(question));
        }
        let faults = FaultKind::ALL.map(|kind| Told::Failed(Fault::at(kind, "é", Some(9))));
        for told in faults.into_iter().chain([Told::Done(b"x".to_vec()), Told::SourceWanted]) {
            let answer = Answer { told, spent_ns: 5 };
            assert_eq!(Answer::parse(&answer.emit()), Some(answer));
        }
    }

    #[test]
    fn frames_are_read_however_they_come() {
        struct Slow(Vec<u8>, bool);
        impl Read for Slow {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                if self.0.is_empty() {
                    return Ok(0);
                }
                out[0] = self.0.remove(0);
                Ok(1)
            }
        }
        let mut bytes = Vec::new();
        for frame in [&b"one"[..], b"", b"three"] {
            write(&mut bytes, frame).unwrap();
        }
        let (mut stream, mut reader, mut frames) = (Slow(bytes, false), Reader::default(), Vec::new());
        loop {
            match reader.read(&mut stream) {
                Ok(frame) => frames.push(frame),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
            }
        }
        assert_eq!(frames, [&b"one"[..], b"", b"three"]);
        let error = Reader::default().read(&mut &[255u8; 8][..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
