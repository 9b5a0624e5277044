//! The fields of a struct or variant.

use syn::{Field, Fields, Ident, Type};

use crate::suggestion::listed;

/// Returns the type of the field if there is exactly one and it has no name.
pub(crate) fn only_unnamed(fields: &Fields) -> Option<&Type> {
    match fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            fields.unnamed.first().map(|field| &field.ty)
        }
        _ => None,
    }
}

/// Returns the field with this name.
pub(crate) fn field_of<'a>(fields: &'a Fields, name: &Ident) -> Option<&'a Field> {
    fields.iter().find(|field| field.ident.as_ref() == Some(name))
}

/// Returns the names of the fields that have one.
pub(crate) fn names_of(fields: &Fields) -> Vec<String> {
    fields.iter().filter_map(|field| field.ident.as_ref()).map(ToString::to_string).collect()
}

/// Returns a part of a sentence such as "its fields are `a` and `b`".
pub(crate) fn description_of(fields: &Fields) -> String {
    match (fields, &*names_of(fields)) {
        (Fields::Unnamed(_), _) => "its fields have no names".to_owned(),
        (_, []) => "it has no fields".to_owned(),
        (_, [name]) => format!("its only field is `{name}`"),
        (_, names) => format!("its fields are {}", listed(names, "and")),
    }
}
