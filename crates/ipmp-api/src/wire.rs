//! Varlink's framing: JSON objects, each ended by a NUL byte, bounded in size.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

/// The longest request in bytes. The longest command is far shorter; varlink clients may pretty-print.
pub const MAX_REQUEST: usize = 1 << 20;

/// The longest reply in bytes. A logical takes about 200 bytes of a snapshot, so that 4096 addresses,
/// with room to spare, fit here but not into [`MAX_REQUEST`].
pub const MAX_REPLY: usize = 8 << 20;

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Full name of the method.
    pub method: String,
    /// Its parameters.
    #[serde(
        default,
        skip_serializing_if = "Map::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub parameters: Map<String, Value>,
    /// The caller wants no reply.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oneway: bool,
    /// The caller takes several replies, where the method has them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// The caller would leave varlink after this call. Refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub upgrade: bool,
}

/// A reply: the method's result, or an error with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Full name of the error, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The result, or what the error carries.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub parameters: Map<String, Value>,
    /// Another reply to the same call follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continues: bool,
}

/// A reply as a client takes it: the parameters are not looked at before it is known what they are. A
/// snapshot is large, and whoever waits for it waits for a person.
#[derive(Debug, Deserialize)]
pub(crate) struct Received {
    /// Full name of the error, if it is one.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// The result, or what the error carries.
    #[serde(default)]
    parameters: Option<Box<RawValue>>,
    /// Another reply to the same call follows.
    #[serde(default)]
    pub(crate) continues: bool,
}

impl Received {
    /// The parameters as what they are expected to be.
    pub(crate) fn parameters<T: for<'de> Deserialize<'de>>(&self) -> Result<T, FrameError> {
        let text = self.parameters.as_ref().map(|raw| raw.get());
        let text = text.filter(|text| *text != "null").unwrap_or("{}");
        serde_json::from_str(text).map_err(FrameError::Json)
    }
}

/// A method's result as it goes over the wire, however large.
pub fn encode_result(parameters: &impl Serialize, limit: usize) -> Result<Vec<u8>, FrameError> {
    #[derive(Serialize)]
    struct Result<'a, T> {
        parameters: &'a T,
    }
    encode(&Result { parameters }, limit)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Call {
    /// A call of `method`.
    pub fn new(method: &str, parameters: &impl Serialize) -> Result<Self, FrameError> {
        Ok(Self {
            method: method.to_owned(),
            parameters: object(parameters)?,
            oneway: false,
            more: false,
            upgrade: false,
        })
    }
}

impl Reply {
    /// A method's result.
    pub fn result(parameters: &impl Serialize) -> Result<Self, FrameError> {
        Ok(Self {
            error: None,
            parameters: object(parameters)?,
            continues: false,
        })
    }

    /// The same, and another one follows.
    #[must_use]
    pub fn and_more(self) -> Self {
        Self {
            continues: true,
            ..self
        }
    }

    /// An error.
    pub fn error(name: &str, parameters: &impl Serialize) -> Result<Self, FrameError> {
        Ok(Self {
            error: Some(name.to_owned()),
            parameters: object(parameters)?,
            continues: false,
        })
    }
}

fn object(value: &impl Serialize) -> Result<Map<String, Value>, FrameError> {
    match serde_json::to_value(value).map_err(FrameError::Json)? {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Map::new()),
        _ => Err(FrameError::NotAnObject),
    }
}

/// Why there is no message.
#[derive(Debug, Error)]
pub enum FrameError {
    /// More than this many bytes, or as many without an end.
    #[error("message longer than {0} bytes")]
    TooLong(usize),
    /// Not JSON, or not the JSON expected.
    #[error("malformed message: {0}")]
    Json(serde_json::Error),
    /// Parameters are always an object.
    #[error("malformed message: parameters are no object")]
    NotAnObject,
}

/// A message as it goes over the wire.
pub fn encode(message: &impl Serialize, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = serde_json::to_vec(message).map_err(FrameError::Json)?;
    if bytes.len() > limit {
        return Err(FrameError::TooLong(limit));
    }
    bytes.push(0);
    Ok(bytes)
}

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    bytes: Vec<u8>,
    /// Up to here there is no NUL, so that a message that dribbles in is searched once.
    searched: usize,
}

impl Decoder {
    /// Nothing received yet; messages of more than `limit` bytes are refused.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            searched: 0,
        }
    }

    /// Takes bytes as they arrive. Feed only while [`Decoder::message`] has nothing, then no more is
    /// kept than one message and one read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if it is complete.
    pub fn message<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, FrameError> {
        let unsearched = self.bytes.iter().skip(self.searched);
        let end = unsearched.take_while(|&&byte| byte != 0).count() + self.searched;
        self.searched = end;
        if end > self.limit {
            return Err(FrameError::TooLong(self.limit));
        }
        if end == self.bytes.len() {
            return Ok(None);
        }
        let rest = self.bytes.split_off(end + 1);
        let message = std::mem::replace(&mut self.bytes, rest);
        self.searched = 0;
        let json = message.strip_suffix(&[0]).unwrap_or(&message);
        serde_json::from_slice(json)
            .map(Some)
            .map_err(FrameError::Json)
    }
}

#[cfg(test)]
mod tests;
