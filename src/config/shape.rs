//! What may stand where in the operator's file, learned from the types that
//! read it: their own deserializers are asked what they would take, so what is
//! built on this (the schema, what `config show` prints) cannot fall behind.

use serde::de::value::{BorrowedStrDeserializer, Error, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

/// What may stand in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Any value.
    Anything,
    /// A text.
    Text,
    /// `true` or `false`.
    Truth,
    /// A whole number up to that one.
    Whole(u64),
    /// Any number.
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Several of one kind.
    List(Box<Self>),
    /// A table with these keys and no others.
    Table(Vec<(&'static str, Self)>),
    /// A table with keys of the operator's own.
    Named(Box<Self>),
}

impl Shape {
    /// That of a type that can be read.
    pub(super) fn of<'de, T: Deserialize<'de>>() -> Self {
        let mut shape = Self::Anything;
        // Every type here takes what the tracer gives; one that does not would
        // leave out the keys behind it, which the tests of the schema find.
        let _ = T::deserialize(Tracer(&mut shape));
        shape
    }

    /// The keys of a table.
    pub(super) fn keys(&self) -> &[(&'static str, Self)] {
        match self {
            Self::Table(keys) => keys,
            _ => &[],
        }
    }
}

/// How `toml` asks for a value and its place.
const SPANNED: &str = "$__serde_spanned_private_Spanned";

/// Gives every type the least that it takes, and writes down what that was.
struct Tracer<'s>(&'s mut Shape);

macro_rules! whole {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                *self.0 = Shape::Whole(u64::try_from(<$type>::MAX).unwrap_or(u64::MAX));
                visitor.$visit(0)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str("")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Truth;
        visitor.visit_bool(false)
    }

    whole! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_i64 visit_i64 i64;
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Number;
        visitor.visit_f64(0.0)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Text;
        visitor.visit_borrowed_str("")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut member = Shape::Anything;
        let value = visitor.visit_seq(Once(Some(&mut member)));
        *self.0 = Shape::List(Box::new(member));
        value
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut member = Shape::Anything;
        let value = visitor.visit_map(Once(Some(&mut member)));
        *self.0 = Shape::Named(Box::new(member));
        value
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut keys = Vec::new();
        let value = visitor.visit_map(Fields { fields: fields.iter(), keys: &mut keys });
        *self.0 = match (name, keys.pop()) {
            // Its start and its end came before.
            (SPANNED, Some((_, shape))) => shape,
            (_, last) => {
                keys.extend(last);
                Shape::Table(keys)
            }
        };
        value
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Shape::Word(words);
        visitor.visit_enum(First(words))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// A list or a table with one member.
struct Once<'s>(Option<&'s mut Shape>);

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|shape| seed.deserialize(Tracer(shape))).transpose()
    }
}

impl<'de> MapAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let key = self.0.is_some().then(|| BorrowedStrDeserializer::new("name"));
        key.map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let mut nobody = Shape::Anything;
        seed.deserialize(Tracer(self.0.take().unwrap_or(&mut nobody)))
    }
}

/// A table with every field of a type.
struct Fields<'s> {
    fields: std::slice::Iter<'static, &'static str>,
    keys: &'s mut Vec<(&'static str, Shape)>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        self.keys.push((field, Shape::Anything));
        seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let mut nobody = Shape::Anything;
        let shape = self.keys.last_mut().map_or(&mut nobody, |(_, shape)| shape);
        seed.deserialize(Tracer(shape))
    }
}

/// The first of several words.
struct First(&'static [&'static str]);

impl<'de> EnumAccess<'de> for First {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word: StrDeserializer<'_, Error> =
            self.0.first().copied().unwrap_or_default().into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> VariantAccess<'de> for First {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Tracer(&mut Shape::Anything))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    use std::collections::BTreeMap;
    use toml::Spanned;

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Sample {
        OneThing,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its names matter")]
    struct Several {
        count: Spanned<u8>,
        names: Vec<Spanned<String>>,
        own: BTreeMap<String, Spanned<Vec<u32>>>,
        when: Spanned<toml::Value>,
        seconds: Option<f64>,
        sample: Sample,
        on: bool,
    }

    #[test]
    fn h9_a_type_tells_what_it_takes() {
        let list = |shape| Shape::List(Box::new(shape));
        let expected = Shape::Table(vec![
            ("count", Shape::Whole(255)),
            ("names", list(Shape::Text)),
            ("own", Shape::Named(Box::new(list(Shape::Whole(u32::MAX.into()))))),
            ("when", Shape::Anything),
            ("seconds", Shape::Number),
            ("sample", Shape::Word(&["one_thing"])),
            ("on", Shape::Truth),
        ]);
        assert_eq!(Shape::of::<Several>(), expected);
    }

    #[test]
    fn h9_the_whole_file_is_known_to_its_last_key() {
        let shape = Shape::of::<File>();
        let keys = |shape: &Shape| shape.keys().iter().map(|(key, _)| *key).collect::<Vec<_>>();
        assert_eq!(keys(&shape).last(), Some(&"ownership"));
        let defaults = crate::config::defaults();
        for (section, of) in shape.keys() {
            let of = match of {
                Shape::List(of) => of,
                of => of,
            };
            let Some(known) = defaults.get(*section).and_then(toml::Value::as_table) else {
                continue;
            };
            let missing: Vec<_> =
                known.keys().filter(|key| !keys(of).contains(&key.as_str())).collect();
            assert!(missing.is_empty(), "[{section}] {missing:?}");
        }
    }
}
