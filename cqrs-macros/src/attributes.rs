//! Reading `#[event(..)]` and `#[command(..)]`, with errors that say what to write.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Path, Result, parse_quote};

/// What stands in the `#[event(..)]` attributes of one type or variant.
#[derive(Default)]
pub(crate) struct EventAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitInt>,
    pub(crate) transparent: Option<Span>,
    pub(crate) krate: Option<Path>,
}

impl EventAttributes {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    once(&mut read.name, meta.value()?.parse()?)
                } else if meta.path.is_ident("version") {
                    once(&mut read.version, meta.value()?.parse()?)
                } else if meta.path.is_ident("transparent") {
                    read.transparent = Some(meta.path.span());
                    Ok(())
                } else if meta.path.is_ident("crate") {
                    once(&mut read.krate, meta.value()?.call(Path::parse_mod_style)?)
                } else {
                    Err(meta.error("expected `name`, `version`, `transparent` or `crate`"))
                }
            })?;
        }
        Ok(read)
    }

    /// The stored name and version, checked.
    pub(crate) fn stored_type(&self, owner: &Ident) -> Result<(LitStr, u32)> {
        let Some(name) = &self.name else {
            let advice = format!(
                "`{owner}` has no stored name: add `#[event(name = \"category.what-happened\")]`"
            );
            return Err(Error::new(owner.span(), advice));
        };
        let text = name.value();
        if text.is_empty() || text.len() > 255 || text.starts_with('$') || text.contains('\0') {
            let rule = "a stored name has 1 to 255 bytes, no NUL and no leading `$`";
            return Err(Error::new(name.span(), rule));
        }
        let version = match &self.version {
            None => 1,
            Some(version) => match version.base10_parse::<u32>() {
                Ok(0) => return Err(Error::new(version.span(), "schema versions count from 1")),
                parsed => parsed?,
            },
        };
        Ok((name.clone(), version))
    }
}

/// What stands in the `#[command(..)]` attributes of a type.
#[derive(Default)]
pub(crate) struct CommandAttributes {
    pub(crate) aggregate: Option<Path>,
    pub(crate) id: Option<Ident>,
    pub(crate) krate: Option<Path>,
}

impl CommandAttributes {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("command"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("aggregate") {
                    once(&mut read.aggregate, meta.value()?.parse()?)
                } else if meta.path.is_ident("id") {
                    once(&mut read.id, meta.value()?.parse()?)
                } else if meta.path.is_ident("crate") {
                    once(&mut read.krate, meta.value()?.call(Path::parse_mod_style)?)
                } else {
                    Err(meta.error("expected `aggregate`, `id` or `crate`"))
                }
            })?;
        }
        Ok(read)
    }
}

fn once<T: Spanned>(slot: &mut Option<T>, value: T) -> Result<()> {
    match slot {
        None => {
            *slot = Some(value);
            Ok(())
        }
        Some(_) => Err(Error::new(value.span(), "given twice")),
    }
}

/// Where the traits are.
pub(crate) fn krate(given: Option<Path>) -> Path {
    given.unwrap_or_else(|| parse_quote!(::cqrs))
}
