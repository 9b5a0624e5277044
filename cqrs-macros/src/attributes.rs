//! Parses the attributes of the derives. Errors include what to write instead.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Path, Result, Type, parse_quote};

use crate::suggestion::{did_you_mean, listed};

/// The error for an invalid `CATEGORY`.
pub(crate) const CATEGORY_RULE: &str = "the `CATEGORY` of an aggregate must have 1 to 255 bytes, \
    no dash, no NUL and no leading `$`: write `bank_account` instead of `bank-account`";

/// The `#[event(..)]` attributes of one type or variant.
#[derive(Default)]
pub(crate) struct EventAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitInt>,
    pub(crate) transparent: Option<Span>,
    pub(crate) krate: Option<Path>,
}

impl EventAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    set(&mut parsed.name, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("version") {
                    set(&mut parsed.version, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("transparent") {
                    set(&mut parsed.transparent, &meta, meta.path.span())
                } else if meta.path.is_ident("crate") {
                    set_crate(&mut parsed.krate, &meta)
                } else {
                    Err(unknown(&meta, &["name", "version", "transparent", "crate"]))
                }
            })?;
        }
        Ok(parsed)
    }

    /// Returns the stored name and the schema version after checking both.
    pub(crate) fn stored_type(&self, owner: &Ident) -> Result<(LitStr, u32)> {
        let Some(name) = &self.name else {
            let message = format!(
                "`{owner}` has no stored name: add `#[event(name = \"category.what-happened\")]`"
            );
            return Err(Error::new(owner.span(), message));
        };
        let text = name.value();
        if text.is_empty() || text.len() > 255 || text.starts_with('$') || text.contains('\0') {
            let rule = "a stored name must have 1 to 255 bytes, no NUL and no leading `$`: \
                        write a name such as `bank.money-deposited`";
            return Err(Error::new(name.span(), rule));
        }
        Ok((name.clone(), version_or_one(self.version.as_ref())?))
    }
}

/// The `#[command(..)]` attributes of a type.
#[derive(Default)]
pub(crate) struct CommandAttributes {
    pub(crate) aggregate: Option<Path>,
    pub(crate) id: Option<Ident>,
    pub(crate) krate: Option<Path>,
}

impl CommandAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in command_attributes(attributes) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("aggregate") {
                    set(&mut parsed.aggregate, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("id") {
                    set(&mut parsed.id, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("crate") {
                    set_crate(&mut parsed.krate, &meta)
                } else {
                    Err(unknown(&meta, &["aggregate", "id", "crate"]))
                }
            })?;
        }
        Ok(parsed)
    }
}

/// Returns only the `#[command(..)]` attributes.
pub(crate) fn command_attributes(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("command"))
}

/// The `#[id(..)]` attributes of a type.
#[derive(Default)]
pub(crate) struct IdAttributes {
    pub(crate) krate: Option<Path>,
}

impl IdAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("id")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("crate") {
                    set_crate(&mut parsed.krate, &meta)
                } else {
                    Err(unknown(&meta, &["crate"]))
                }
            })?;
        }
        Ok(parsed)
    }
}

/// The `#[read_model(..)]` attributes of a type.
#[derive(Default)]
pub(crate) struct ReadModelAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitInt>,
    pub(crate) event: Option<Type>,
    pub(crate) key: Option<Path>,
    pub(crate) krate: Option<Path>,
}

impl ReadModelAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in
            attributes.iter().filter(|attribute| attribute.path().is_ident("read_model"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    set(&mut parsed.name, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("version") {
                    set(&mut parsed.version, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("event") {
                    set(&mut parsed.event, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("key") {
                    set(&mut parsed.key, &meta, meta.value()?.parse()?)
                } else if meta.path.is_ident("crate") {
                    set_crate(&mut parsed.krate, &meta)
                } else {
                    Err(unknown(&meta, &["name", "version", "event", "key", "crate"]))
                }
            })?;
        }
        Ok(parsed)
    }
}

/// Returns the version, or 1 if there is none.
pub(crate) fn version_or_one(version: Option<&LitInt>) -> Result<u32> {
    match version {
        None => Ok(1),
        Some(version) => match version.base10_parse::<u32>()? {
            0 => Err(Error::new(version.span(), "versions start at 1")),
            parsed => Ok(parsed),
        },
    }
}

pub(crate) fn set<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        let message = format!("`{}` is given twice: remove one", name_of(&meta.path));
        return Err(meta.error(message));
    }
    Ok(())
}

pub(crate) fn set_crate(slot: &mut Option<Path>, meta: &ParseNestedMeta<'_>) -> Result<()> {
    set(slot, meta, meta.value()?.call(Path::parse_mod_style)?)
}

pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, known: &[&str]) -> Error {
    let name = name_of(&meta.path);
    let hint = did_you_mean(&name, known);
    meta.error(format!("unknown attribute `{name}`, expected {}{hint}", listed(known, "or")))
}

fn name_of(path: &Path) -> String {
    let segments = path.segments.iter().map(|segment| segment.ident.to_string());
    segments.collect::<Vec<_>>().join("::")
}

/// Returns the path of the crate that holds the traits, `::cqrs` by default.
pub(crate) fn krate(given: Option<Path>) -> Path {
    given.unwrap_or_else(|| parse_quote!(::cqrs))
}
