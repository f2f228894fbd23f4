//! JSON in which no key comes twice.
//!
//! Readers of JSON take the last of two values, or the first; a cookie that
//! has both says "yes" to one and "no" to the other. Here it is torn.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The JSON in `text`, if it is whole and no object has a key twice.
pub(in crate::consent::tools) fn each_key_once(text: &str) -> Option<Value> {
    serde_json::from_str::<Once>(text).ok().map(|found| found.0)
}

struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no key comes twice")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, found: bool) -> Result<Value, E> {
        Ok(Value::from(found))
    }

    fn visit_i64<E>(self, found: i64) -> Result<Value, E> {
        Ok(Value::from(found))
    }

    fn visit_u64<E>(self, found: u64) -> Result<Value, E> {
        Ok(Value::from(found))
    }

    fn visit_f64<E>(self, found: f64) -> Result<Value, E> {
        Ok(Value::from(found))
    }

    fn visit_str<E>(self, found: &str) -> Result<Value, E> {
        Ok(Value::from(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Once(value))) = entries.next_entry::<String, Once>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key comes twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d9_a_key_that_comes_twice_tears_json_at_any_depth() {
        for text in ["{\"a\":1,\"b\":[true,null,-1,0.5,\"x\"]}", "[]", "\"a\"", "3", "null"] {
            assert_eq!(each_key_once(text), serde_json::from_str(text).ok(), "{text}");
        }
        for text in [
            "{\"a\":false,\"a\":true}",
            "{\"a\":true,\"a\":true}",
            "{\"a\":false,\"\\u0061\":true}",
            "{\"a\":{\"b\":0,\"c\":1,\"b\":1}}",
            "[{\"a\":0,\"a\":1}]",
            "{\"a\":1",
            "{} {}",
            "",
        ] {
            assert_eq!(each_key_once(text), None, "{text}");
        }
        assert_eq!(each_key_once(&"[".repeat(8000)), None);
    }
}
