//! The code that writes and reads the stored content of one variant.
//!
//! A variant with fields gets two hidden structs with the same fields and serde attributes: one
//! borrows the fields and is written, the other owns them and is read.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Field, Fields, Ident, Path};

/// The content of one variant or struct.
pub(crate) struct Content<'a> {
    pub(crate) krate: &'a Path,
    /// `Self::Opened`, or `Self` for a struct.
    pub(crate) constructor: TokenStream,
    pub(crate) fields: &'a Fields,
    /// The serde attributes of the variant.
    pub(crate) serde: Vec<TokenStream>,
}

impl Content<'_> {
    fn bindings(&self) -> Vec<Ident> {
        (0..self.fields.len()).map(|n| format_ident!("field{n}")).collect()
    }

    /// Returns tokens that are both a pattern that binds each field and the expression that builds
    /// the value.
    fn shape(&self, constructor: &TokenStream) -> TokenStream {
        let bindings = self.bindings();
        match self.fields {
            Fields::Unit => quote!(#constructor),
            Fields::Unnamed(_) => quote!(#constructor(#(#bindings),*)),
            Fields::Named(fields) => {
                let names = fields.named.iter().map(|field| &field.ident);
                quote!(#constructor { #(#names: #bindings),* })
            }
        }
    }

    /// Returns the match arm that writes the content.
    pub(crate) fn encode(&self) -> TokenStream {
        let Self { krate, fields, .. } = self;
        let pattern = self.shape(&self.constructor);
        let writing = match fields {
            Fields::Unit => quote!(#krate::private::Payload::encode(&())),
            _ => {
                // `Closed {}` has nothing to borrow.
                let lifetime = if fields.is_empty() { quote!() } else { quote!(<'event>) };
                let mirror = self.mirror(&quote!(Serialize), &lifetime, &quote!(&'event));
                let made = self.shape(&quote!(Content));
                quote!({ #mirror #krate::private::Payload::encode(&#made) })
            }
        };
        quote!(#pattern => #writing)
    }

    /// Returns the expression that reads the content from `payload`.
    pub(crate) fn decode(&self) -> TokenStream {
        let Self { krate, constructor, fields, .. } = self;
        match fields {
            Fields::Unit => quote! {
                payload.decode::<#krate::private::serde::de::IgnoredAny>().map(|_| #constructor)?
            },
            _ => {
                let mirror = self.mirror(&quote!(Deserialize), &quote!(), &quote!());
                let read = self.shape(&quote!(Content));
                let made = self.shape(constructor);
                quote!({ #mirror let #read = payload.decode()?; #made })
            }
        }
    }

    fn mirror(
        &self,
        derive: &TokenStream,
        generics: &TokenStream,
        reference: &TokenStream,
    ) -> TokenStream {
        let Self { krate, fields, serde, .. } = self;
        let serde_crate = quote!(#krate::private::serde).to_string().replace(' ', "");
        let declared = fields.iter().map(|Field { attrs, ident, ty, .. }| {
            let attrs = serde_only(attrs);
            let name = ident.as_ref().map(|ident| quote!(#ident:));
            quote!(#(#attrs)* #name #reference #ty)
        });
        let body = match fields {
            Fields::Named(_) => quote!(#generics { #(#declared),* }),
            Fields::Unnamed(_) | Fields::Unit => quote!(#generics ( #(#declared),* );),
        };
        quote! {
            #[derive(#krate::private::serde::#derive)]
            #[serde(crate = #serde_crate)]
            #[allow(dead_code)] // a skipped field is not read
            #(#serde)*
            struct Content #body
        }
    }
}

/// Returns only the `#[serde(..)]` attributes.
pub(crate) fn serde_only(attributes: &[Attribute]) -> Vec<TokenStream> {
    let serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    serde.map(|attribute| quote!(#attribute)).collect()
}
