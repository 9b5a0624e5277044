//! `derive(Id)`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Ident, Path, Result, Type};

use crate::attributes::{IdAttributes, krate};
use crate::fields::only_unnamed;

/// The type of the value that an id wraps.
enum Inner {
    Text,
    Uuid,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = IdAttributes::parse(&input.attrs)?;
    let ident = &input.ident;
    if !input.generics.params.is_empty() {
        let message = format!("an id cannot be generic: write `struct {ident}(String);`");
        return Err(Error::new(input.generics.span(), message));
    }
    let ty = inner_type(input)?;
    let krate = krate(attributes.krate);
    let own = match inner(ident, ty)? {
        Inner::Text => text(ident, &krate),
        Inner::Uuid => uuid(ident, ty, &krate),
    };
    let common = common(ident, ty, &krate);
    Ok(quote!(#own #common))
}

fn inner_type(input: &DeriveInput) -> Result<&Type> {
    if let Data::Struct(data) = &input.data
        && let Some(ty) = only_unnamed(&data.fields)
    {
        return Ok(ty);
    }
    let ident = &input.ident;
    let message = format!(
        "an id is a struct with one unnamed field: write `struct {ident}(String);` or \
         `struct {ident}(Uuid);`"
    );
    Err(Error::new(ident.span(), message))
}

fn inner(ident: &Ident, ty: &Type) -> Result<Inner> {
    if let Type::Path(path) = ty
        && let Some(last) = path.path.segments.last()
    {
        if last.ident == "String" {
            return Ok(Inner::Text);
        }
        if last.ident == "Uuid" {
            return Ok(Inner::Uuid);
        }
    }
    let message = format!(
        "`derive(Id)` supports `String` and `Uuid`, not `{}`: write `struct {ident}(String);`, or \
         implement `Display` and serde's traits by hand",
        ty.to_token_stream()
    );
    Err(Error::new(ty.span(), message))
}

fn text(ident: &Ident, krate: &Path) -> TokenStream {
    let what = ident.to_string();
    let reading = reading(ident, krate, &quote!(::std::string::String), &quote!(Self::new));
    let conversions = text_conversions(ident, krate);
    quote! {
        impl #ident {
            /// Creates an id from text.
            ///
            /// # Errors
            /// Returns `InvalidName` if the text is empty, longer than 1,792 bytes, or contains
            /// NUL.
            pub fn new(
                id: impl ::core::convert::Into<::std::string::String>,
            ) -> ::core::result::Result<Self, #krate::private::InvalidName> {
                let id = id.into();
                #krate::private::check_id(#what, &id)?;
                ::core::result::Result::Ok(Self(id))
            }

            /// Returns the id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        #[automatically_derived]
        impl ::core::fmt::Display for #ident {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(&self.0)
            }
        }

        #[automatically_derived]
        impl ::core::str::FromStr for #ident {
            type Err = #krate::private::InvalidName;

            fn from_str(id: &str) -> ::core::result::Result<Self, Self::Err> {
                Self::new(id)
            }
        }

        #conversions

        #reading
    }
}

fn text_conversions(ident: &Ident, krate: &Path) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl ::core::convert::TryFrom<&str> for #ident {
            type Error = #krate::private::InvalidName;

            fn try_from(id: &str) -> ::core::result::Result<Self, Self::Error> {
                Self::new(id)
            }
        }

        #[automatically_derived]
        impl ::core::convert::TryFrom<::std::string::String> for #ident {
            type Error = #krate::private::InvalidName;

            fn try_from(id: ::std::string::String) -> ::core::result::Result<Self, Self::Error> {
                Self::new(id)
            }
        }

        #[automatically_derived]
        impl ::core::convert::From<#ident> for ::std::string::String {
            fn from(id: #ident) -> Self {
                id.0
            }
        }

        #[automatically_derived]
        impl ::core::convert::AsRef<str> for #ident {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // Equality, order and hash are those of the text, so that maps can be searched with it.
        #[automatically_derived]
        impl ::core::borrow::Borrow<str> for #ident {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    }
}

fn uuid(ident: &Ident, ty: &Type, krate: &Path) -> TokenStream {
    let what = ident.to_string();
    let wrap =
        quote!(|id| ::core::result::Result::<Self, #krate::private::InvalidName>::Ok(Self(id)));
    let reading = reading(ident, krate, &quote!(#ty), &wrap);
    let conversions = uuid_conversions(ident, ty);
    quote! {
        impl #ident {
            /// Wraps a UUID of any version.
            #[must_use]
            pub const fn new(id: #ty) -> Self {
                Self(id)
            }

            /// Returns a new UUIDv7, created from the current time and random bits.
            #[must_use]
            pub fn random() -> Self {
                Self(#krate::private::random_uuid())
            }

            /// Returns the UUID.
            #[must_use]
            pub const fn as_uuid(self) -> #ty {
                self.0
            }
        }

        #[automatically_derived]
        impl ::core::marker::Copy for #ident {}

        #[automatically_derived]
        impl ::core::fmt::Display for #ident {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, f)
            }
        }

        #[automatically_derived]
        impl ::core::str::FromStr for #ident {
            type Err = #krate::private::InvalidName;

            fn from_str(id: &str) -> ::core::result::Result<Self, Self::Err> {
                #krate::private::parse_uuid(#what, id).map(Self)
            }
        }

        #conversions

        #reading
    }
}

fn uuid_conversions(ident: &Ident, ty: &Type) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl ::core::convert::From<#ty> for #ident {
            fn from(id: #ty) -> Self {
                Self(id)
            }
        }

        #[automatically_derived]
        impl ::core::convert::From<#ident> for #ty {
            fn from(id: #ident) -> Self {
                id.0
            }
        }
    }
}

/// Implements `Deserialize`: reads the inner value and converts it with `make`.
fn reading(ident: &Ident, krate: &Path, inner: &TokenStream, make: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl<'de> #krate::private::serde::Deserialize<'de> for #ident {
            fn deserialize<D: #krate::private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let id = <#inner as #krate::private::serde::Deserialize>::deserialize(deserializer)?;
                (#make)(id).map_err(<D::Error as #krate::private::serde::de::Error>::custom)
            }
        }
    }
}

/// Implements the traits that would otherwise be listed in a `#[derive(..)]`.
fn common(ident: &Ident, ty: &Type, krate: &Path) -> TokenStream {
    let name = ident.to_string();
    // If the user derives one of these traits too, the error points at the type.
    let span = Span::call_site().located_at(ident.span());
    let order = order(ident, span);
    quote_spanned! {span=>
        #[automatically_derived]
        impl ::core::clone::Clone for #ident {
            fn clone(&self) -> Self {
                Self(::core::clone::Clone::clone(&self.0))
            }
        }

        #[automatically_derived]
        impl ::core::fmt::Debug for #ident {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_tuple(#name).field(&self.0).finish()
            }
        }

        #[automatically_derived]
        impl ::core::cmp::PartialEq for #ident {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }

        #[automatically_derived]
        impl ::core::cmp::Eq for #ident {}

        #order

        #[automatically_derived]
        impl ::core::hash::Hash for #ident {
            fn hash<H: ::core::hash::Hasher>(&self, state: &mut H) {
                ::core::hash::Hash::hash(&self.0, state);
            }
        }

        #[automatically_derived]
        impl #krate::private::serde::Serialize for #ident {
            fn serialize<S: #krate::private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                <#ty as #krate::private::serde::Serialize>::serialize(&self.0, serializer)
            }
        }
    }
}

fn order(ident: &Ident, span: Span) -> TokenStream {
    quote_spanned! {span=>
        #[automatically_derived]
        impl ::core::cmp::PartialOrd for #ident {
            fn partial_cmp(&self, other: &Self) -> ::core::option::Option<::core::cmp::Ordering> {
                ::core::option::Option::Some(::core::cmp::Ord::cmp(self, other))
            }
        }

        #[automatically_derived]
        impl ::core::cmp::Ord for #ident {
            fn cmp(&self, other: &Self) -> ::core::cmp::Ordering {
                ::core::cmp::Ord::cmp(&self.0, &other.0)
            }
        }
    }
}
