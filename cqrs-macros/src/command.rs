//! `derive(Command)`.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Error, Field, Fields, Ident, Path, Result, Type,
    Variant,
};

use crate::attributes::{CATEGORY_RULE, CommandAttributes, command_attributes, krate};
use crate::fields::{description_of, field_of, names_of, only_unnamed};
use crate::suggestion::did_you_mean;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = CommandAttributes::parse(&input.attrs)?;
    let ident = &input.ident;
    if !input.generics.params.is_empty() {
        let message = "a command cannot be generic: write `impl Command` by hand";
        return Err(Error::new(input.generics.span(), message));
    }
    let krate = krate(attributes.krate.clone());
    let Some(aggregate) = &attributes.aggregate else {
        let message = format!(
            "`{ident}` does not name its aggregate: add `#[command(aggregate = Account, ..)]`"
        );
        return Err(Error::new(ident.span(), message));
    };
    let (conversions, id) = match &input.data {
        Data::Struct(data) => {
            (TokenStream::new(), id_of_struct(ident, &data.fields, attributes.id.as_ref())?)
        }
        Data::Enum(data) => {
            let cases = cases(ident, data, attributes.id.as_ref())?;
            (conversions(ident, &cases), id_of_enum(&krate, &cases))
        }
        Data::Union(data) => {
            let message = "a union cannot be a command: use a struct or an enum";
            return Err(Error::new(data.union_token.span(), message));
        }
    };
    Ok(expand(ident, &krate, aggregate, &conversions, &id))
}

fn id_of_struct(ident: &Ident, fields: &Fields, id: Option<&Ident>) -> Result<TokenStream> {
    reject_attributes_of_fields(fields)?;
    let Some(id) = id else {
        let message = format!(
            "`{ident}` does not name the field that holds the aggregate's id: add `id = ..` to \
             `#[command(..)]`; {}",
            description_of(fields)
        );
        return Err(Error::new(ident.span(), message));
    };
    let Some(field) = field_of(fields, id) else {
        let hint = did_you_mean(&id.to_string(), &names_of(fields));
        let message = format!("`{ident}` has no field `{id}`; {}{hint}", description_of(fields));
        return Err(Error::new(id.span(), message));
    };
    Ok(cloned(field, |span| quote_spanned!(span=> &self.#id)))
}

/// A variant of an enum of commands.
enum Case<'a> {
    /// Holds a command struct, which returns its own id.
    Struct { variant: &'a Ident, command: &'a Type },
    /// Has named fields, one of which is the id.
    Fields { variant: &'a Ident, id: &'a Field },
}

fn cases<'a>(ident: &Ident, data: &'a DataEnum, id: Option<&Ident>) -> Result<Vec<Case<'a>>> {
    let mut seen = HashSet::new();
    let mut cases = Vec::with_capacity(data.variants.len());
    let mut errors: Option<Error> = None;
    for variant in &data.variants {
        match case(ident, variant, id, &mut seen) {
            Ok(case) => cases.push(case),
            Err(error) => match &mut errors {
                None => errors = Some(error),
                Some(errors) => errors.combine(error),
            },
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    if let Some(id) = id
        && !cases.iter().any(|case| matches!(case, Case::Fields { .. }))
    {
        let message = format!(
            "no variant of `{ident}` has named fields, so each command struct names its own id \
             field: remove `id = {id}`"
        );
        return Err(Error::new(id.span(), message));
    }
    Ok(cases)
}

fn case<'a>(
    ident: &Ident,
    variant: &'a Variant,
    id: Option<&Ident>,
    seen: &mut HashSet<String>,
) -> Result<Case<'a>> {
    let name = &variant.ident;
    reject_attributes(&variant.attrs)?;
    reject_attributes_of_fields(&variant.fields)?;
    match (&variant.fields, id) {
        (Fields::Unnamed(_), _) if let Some(command) = only_unnamed(&variant.fields) => {
            if !seen.insert(command.to_token_stream().to_string()) {
                let message = format!(
                    "`{}` is in two variants of `{ident}`: remove one",
                    command.to_token_stream()
                );
                return Err(Error::new(command.span(), message));
            }
            Ok(Case::Struct { variant: name, command })
        }
        (Fields::Named(_), None) => {
            let message = format!(
                "`{name}` has named fields, so `{ident}` has to name the one that holds the \
                 aggregate's id: add `id = ..` to `#[command(..)]`; {}",
                description_of(&variant.fields)
            );
            Err(Error::new(name.span(), message))
        }
        (Fields::Named(_), Some(id)) => match field_of(&variant.fields, id) {
            Some(field) => Ok(Case::Fields { variant: name, id: field }),
            None => {
                let hint = did_you_mean(&id.to_string(), &names_of(&variant.fields));
                let fields = description_of(&variant.fields);
                let message = format!("`{name}` has no field `{id}`; {fields}{hint}");
                Err(Error::new(name.span(), message))
            }
        },
        (Fields::Unnamed(_) | Fields::Unit, id) => {
            let id = id.map_or_else(|| "account_id".to_owned(), ToString::to_string);
            let message = format!(
                "`{name}` does not say which aggregate it is for: give it named fields, such as \
                 `{name} {{ {id}: .. }}`, or let it hold one command struct: `{name}(..)`"
            );
            Err(Error::new(name.span(), message))
        }
    }
}

fn reject_attributes_of_fields(fields: &Fields) -> Result<()> {
    fields.iter().try_for_each(|field| reject_attributes(&field.attrs))
}

fn reject_attributes(attributes: &[Attribute]) -> Result<()> {
    match command_attributes(attributes).next() {
        None => Ok(()),
        Some(attribute) => {
            let message = "`#[command(..)]` has no effect here: write it on the type";
            Err(Error::new(attribute.span(), message))
        }
    }
}

/// Clones the id out of a reference.
///
/// The tokens have the position of the field's type, where the compiler then reports that the type is
/// not the aggregate's `Id`.
fn cloned(field: &Field, reference: impl Fn(Span) -> TokenStream) -> TokenStream {
    let (ty, span) = (&field.ty, Span::call_site().located_at(field.ty.span()));
    let reference = reference(span);
    quote_spanned!(span=> <#ty as ::core::clone::Clone>::clone(#reference))
}

fn conversions(ident: &Ident, cases: &[Case<'_>]) -> TokenStream {
    let each = cases.iter().map(|case| match case {
        Case::Struct { variant, command } => quote! {
            #[automatically_derived]
            impl ::core::convert::From<#command> for #ident {
                fn from(command: #command) -> Self {
                    Self::#variant(command)
                }
            }
        },
        Case::Fields { .. } => TokenStream::new(),
    });
    quote!(#(#each)*)
}

fn id_of_enum(krate: &Path, cases: &[Case<'_>]) -> TokenStream {
    if cases.is_empty() {
        return quote!(match *self {});
    }
    let arms = cases.iter().map(|case| match case {
        Case::Struct { variant, .. } => {
            quote!(Self::#variant(command) => #krate::Command::aggregate_id(command))
        }
        Case::Fields { variant, id } => {
            let name = &id.ident;
            let clone = cloned(id, |span| quote_spanned!(span=> id));
            quote!(Self::#variant { #name: id, .. } => #clone)
        }
    });
    quote!(match self { #(#arms,)* })
}

fn expand(
    ident: &Ident,
    krate: &Path,
    aggregate: &Path,
    conversions: &TokenStream,
    id: &TokenStream,
) -> TokenStream {
    // A constant outside the impl: `cargo check` evaluates it, unlike the constants of a trait.
    let category = quote_spanned! {aggregate.span()=>
        const _: () = assert!(
            #krate::private::is_category(<#aggregate as #krate::Aggregate>::CATEGORY),
            #CATEGORY_RULE,
        );
    };
    quote! {
        #conversions

        #[automatically_derived]
        impl #krate::Command for #ident {
            type Aggregate = #aggregate;

            fn aggregate_id(&self) -> <#aggregate as #krate::Aggregate>::Id {
                #id
            }
        }

        #category
    }
}
