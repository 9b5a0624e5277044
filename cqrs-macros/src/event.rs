//! `derive(Event)`.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Path, Result, Type};

use crate::attributes::{EventAttributes, krate};
use crate::content::{Content, serde_only};
use crate::fields::only_unnamed;

/// A variant of an enum, or a struct as a whole.
enum Part<'a> {
    /// Stored under its own name.
    Stored { name: LitStr, version: u32, content: Content<'a> },
    /// Holds an event of another type.
    Transparent { constructor: TokenStream, inner: &'a Type },
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = EventAttributes::parse(&input.attrs)?;
    let krate = krate(attributes.krate.clone());
    if !input.generics.params.is_empty() {
        let message = "an event cannot be generic, because its stored form must be the same for ever: \
                       write one enum for each type";
        return Err(Error::new(input.generics.span(), message));
    }
    let parts = parts(input, &attributes, &krate)?;
    check_names(&parts)?;
    Ok(expand(&input.ident, &krate, &parts))
}

fn parts<'a>(
    input: &'a DeriveInput,
    attributes: &EventAttributes,
    krate: &'a Path,
) -> Result<Vec<Part<'a>>> {
    match &input.data {
        Data::Struct(data) => {
            if let Some(span) = attributes.transparent {
                let message = "`transparent` is only for variants of an enum: give the struct a name with \
                               `#[event(name = \"category.what-happened\")]`";
                return Err(Error::new(span, message));
            }
            let constructor = quote!(Self);
            Ok(vec![stored(
                &input.ident,
                attributes,
                constructor,
                &data.fields,
                &input.attrs,
                krate,
            )?])
        }
        Data::Enum(data) => {
            if let Some(name) = &attributes.name {
                let message =
                    "an enum has no stored name: write `#[event(name = ..)]` on each variant";
                return Err(Error::new(name.span(), message));
            }
            let variants = data.variants.iter().map(|variant| {
                let attributes = EventAttributes::parse(&variant.attrs)?;
                let ident = &variant.ident;
                let constructor = quote!(Self::#ident);
                match attributes.transparent {
                    None => {
                        let (fields, attrs) = (&variant.fields, &variant.attrs);
                        stored(ident, &attributes, constructor, fields, attrs, krate)
                    }
                    Some(span) => transparent(&variant.fields, constructor).ok_or_else(|| {
                        Error::new(
                            span,
                            "`transparent` is for a variant that holds one other event type: write \
                             `Account(AccountEvent)`",
                        )
                    }),
                }
            });
            variants.collect()
        }
        Data::Union(data) => {
            let message = "a union cannot be an event: use a struct or an enum";
            Err(Error::new(data.union_token.span(), message))
        }
    }
}

fn stored<'a>(
    owner: &Ident,
    attributes: &EventAttributes,
    constructor: TokenStream,
    fields: &'a Fields,
    attrs: &[Attribute],
    krate: &'a Path,
) -> Result<Part<'a>> {
    let (name, version) = attributes.stored_type(owner)?;
    let content = Content { krate, constructor, fields, serde: serde_only(attrs) };
    Ok(Part::Stored { name, version, content })
}

fn transparent(fields: &Fields, constructor: TokenStream) -> Option<Part<'_>> {
    only_unnamed(fields).map(|inner| Part::Transparent { constructor, inner })
}

fn check_names(parts: &[Part<'_>]) -> Result<()> {
    let mut seen = HashMap::new();
    for part in parts {
        if let Part::Stored { name, .. } = part
            && seen.insert(name.value(), ()).is_some()
        {
            let message =
                format!("`{}` is the stored name of two variants: give each its own", name.value());
            return Err(Error::new(name.span(), message));
        }
    }
    Ok(())
}

fn expand(ident: &Ident, krate: &Path, parts: &[Part<'_>]) -> TokenStream {
    // A macro cannot see the names of a transparent part, so the compiler joins them in a constant.
    let sets: Vec<_> = parts
        .iter()
        .map(|part| match part {
            Part::Stored { name, version, .. } => {
                quote!(&[#krate::private::EventType::new(#name, #version)])
            }
            Part::Transparent { inner, .. } => quote!(<#inner as #krate::Event>::TYPES),
        })
        .collect();
    let kinds = parts.iter().map(|part| match part {
        Part::Stored { name, version, content } => {
            let constructor = &content.constructor;
            quote!(#constructor { .. } => #krate::private::EventType::new(#name, #version))
        }
        Part::Transparent { constructor, .. } => {
            quote!(#constructor(inner) => #krate::Event::event_type(inner))
        }
    });
    let (encodings, decodings) = (encodings(krate, parts), decodings(krate, parts));
    quote! {
        #[automatically_derived]
        impl #krate::Event for #ident {
            const TYPES: &'static [#krate::private::EventType] = {
                const SETS: &[&[#krate::private::EventType]] = &[#(#sets),*];
                const COUNT: usize = #krate::private::count_types(SETS);
                &#krate::private::concat_types::<COUNT>(SETS)
            };

            fn event_type(&self) -> #krate::private::EventType {
                match self { #(#kinds,)* }
            }

            fn encode(&self) -> ::core::result::Result<#krate::private::Payload, #krate::private::PayloadError> {
                match self { #(#encodings,)* }
            }

            fn decode(
                name: &str,
                payload: &#krate::private::Payload,
            ) -> ::core::result::Result<Self, #krate::private::DecodeFailure> {
                match name {
                    #(#decodings,)*
                    _ => Err(#krate::private::DecodeFailure::UnknownType),
                }
            }
        }

        const _: () = assert!(
            #krate::private::names_are_unique(<#ident as #krate::Event>::TYPES),
            "two variants of this enum have the same stored name: remove one, or rename it",
        );
    }
}

/// Returns the arms of `encode`, one for each variant.
fn encodings(krate: &Path, parts: &[Part<'_>]) -> Vec<TokenStream> {
    let arms = parts.iter().map(|part| match part {
        Part::Stored { content, .. } => content.encode(),
        Part::Transparent { constructor, .. } => {
            quote!(#constructor(inner) => #krate::Event::encode(inner))
        }
    });
    arms.collect()
}

/// Returns the arms of `decode`, one for each variant.
fn decodings(krate: &Path, parts: &[Part<'_>]) -> Vec<TokenStream> {
    let arms = parts.iter().map(|part| match part {
        Part::Stored { name, content, .. } => {
            let read = content.decode();
            quote!(#name => Ok(#read))
        }
        Part::Transparent { constructor, inner } => quote! {
            name if #krate::private::contains_name(<#inner as #krate::Event>::TYPES, name) => {
                <#inner as #krate::Event>::decode(name, payload).map(#constructor)
            }
        },
    });
    arms.collect()
}
