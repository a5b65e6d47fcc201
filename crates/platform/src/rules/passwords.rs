//! What a password of a user must be. There are no rules of composition: they make passwords worse. But those
//! that are guessed first are refused.
//!
//! A guesser tries common words, the name of the user and of the product, digits behind them, runs of the
//! keyboard, and what is repeated, all with letters written as digits. So of a password these count:
//!
//! * each word of `WORDS`, and the user's name, as one character, also with digits in the place of letters;
//! * a year of this century or the last one, as one character;
//! * of a run, in the alphabet, in digits or along the keyboard, forwards or backwards, or of the same
//!   character, the first one;
//! * of what is repeated from its beginning to its end, the first time.
//!
//! `COUNTED_MIN` characters must be left.

use crate::secret::Secret;

/// Fewest characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Most bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Fewest characters that count.
const COUNTED_MIN: usize = 7;
/// A user's name that is shorter is no word.
const NAME_MIN: usize = 3;

/// What many begin with, in a few languages, and the words of this product. A word of which another one is
/// the beginning stands before it.
const WORDS: &[&str] = &[
    "narrowgate",
    "administrator",
    "administrateur",
    "administrador",
    "admin",
    "operator",
    "viewer",
    "owner",
    "gateway",
    "server",
    "device",
    "network",
    "internet",
    "computer",
    "system",
    "support",
    "service",
    "company",
    "office",
    "root",
    "user",
    "guest",
    "login",
    "welcome",
    "willkommen",
    "bienvenue",
    "password",
    "passwort",
    "passwd",
    "passphrase",
    "passw",
    "parola",
    "motdepasse",
    "contrasena",
    "kennwort",
    "secret",
    "geheim",
    "letmein",
    "changeme",
    "change",
    "default",
    "standard",
    "temporary",
    "temp",
    "test",
    "demo",
    "please",
    "access",
    "private",
    "security",
    "secure",
    "iloveyou",
    "love",
    "hello",
    "hallo",
    "monkey",
    "dragon",
    "master",
    "shadow",
    "sunshine",
    "princess",
    "football",
    "fussball",
    "baseball",
    "basketball",
    "soccer",
    "hockey",
    "superman",
    "batman",
    "spiderman",
    "starwars",
    "pokemon",
    "michael",
    "michelle",
    "jessica",
    "jennifer",
    "ashley",
    "charlie",
    "thomas",
    "andrew",
    "daniel",
    "robert",
    "matthew",
    "joshua",
    "jordan",
    "george",
    "amanda",
    "nicole",
    "maggie",
    "buster",
    "hunter",
    "ranger",
    "killer",
    "harley",
    "freedom",
    "whatever",
    "trustno",
    "mustang",
    "corvette",
    "mercedes",
    "ferrari",
    "porsche",
    "yamaha",
    "cheese",
    "cookie",
    "chocolate",
    "banana",
    "summer",
    "sommer",
    "winter",
    "spring",
    "autumn",
    "herbst",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "schatz",
    "flower",
    "purple",
    "orange",
    "yellow",
    "silver",
    "golden",
    "diamond",
    "london",
    "berlin",
    "paris",
    "america",
    "google",
    "facebook",
    "samsung",
    "apple",
    "windows",
    "linux",
    "ninja",
    "matrix",
    "phoenix",
    "abc",
    "qaz",
    "wsx",
    "edc",
];

/// Rows of keyboards. Digits also go on from 9 to 0 and 1.
const ROWS: [&str; 6] = ["1234567890123", "qwertyuiop", "qwertzuiopü", "asdfghjklöä", "zxcvbnm", "yxcvbnm"];

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// It can be guessed.
    #[error("has fewer than {PASSWORD_CHARACTERS_MIN} characters")]
    TooShort,
    /// It is no password of a person.
    #[error("has more than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// It is guessed first.
    #[error(
        "is among those that are guessed first: common words, the user's name, runs and repetitions count \
         for little"
    )]
    TooCommon,
}

/// Checks a new password of the user of this name.
///
/// # Errors
/// It is too short, too long, or too easy to guess.
pub fn check(password: &Secret, user: &str) -> Result<(), PasswordFault> {
    if is_too_long(password) {
        Err(PasswordFault::TooLong)
    } else if password.expose().chars().count() < PASSWORD_CHARACTERS_MIN {
        Err(PasswordFault::TooShort)
    } else if counted(password.expose(), user) < COUNTED_MIN {
        Err(PasswordFault::TooCommon)
    } else {
        Ok(())
    }
}

/// Whether it can be nobody's.
pub fn is_too_long(password: &Secret) -> bool {
    password.expose().len() > PASSWORD_BYTES_MAX
}

/// How many characters count.
fn counted(password: &str, user: &str) -> usize {
    let letters = Letters(password.chars().flat_map(char::to_lowercase).collect());
    let period = period(&letters.0);
    let (name, mut rest, mut last, mut count) = (user.to_lowercase(), &letters.0[..period], None::<char>, 0);
    while let [first, more @ ..] = rest {
        if let Some(length) = word(rest, &name) {
            (rest, last) = (&rest[length..], None);
            count += 1;
            continue;
        }
        count += usize::from(!last.is_some_and(|last| goes_on(last, *first)));
        (rest, last) = (more, Some(*first));
    }
    count
}

/// The characters of a password, wiped when dropped.
struct Letters(Vec<char>);

impl Drop for Letters {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// The length of the piece of which the whole is made, repeated, the last time perhaps in part.
fn period(letters: &[char]) -> usize {
    let repeats = |period: &usize| letters[*period..].iter().zip(letters).all(|(one, other)| one == other);
    (1..=letters.len() / 2).find(repeats).unwrap_or(letters.len())
}

/// The length of the word that these begin with.
fn word(letters: &[char], name: &str) -> Option<usize> {
    let begins = |word: &&str| {
        let length = word.chars().count();
        length <= letters.len() && word.chars().zip(letters).all(|(meant, letter)| stands_for(*letter, meant))
    };
    let name = Some(name).filter(|name| name.chars().count() >= NAME_MIN);
    let words = name.iter().chain(WORDS).filter(|word| begins(word)).map(|word| word.chars().count());
    words.chain(is_year(letters).then_some(4)).max()
}

fn is_year(letters: &[char]) -> bool {
    let begin = letters.first_chunk::<4>();
    begin.is_some_and(|[a, b, c, d]| {
        matches!((a, b), ('1', '9') | ('2', '0')) && c.is_ascii_digit() && d.is_ascii_digit()
    })
}

/// Whether a character is written in the place of a letter.
fn stands_for(letter: char, meant: char) -> bool {
    letter == meant
        || matches!(
            (letter, meant),
            ('0', 'o')
                | ('1' | '!' | '|', 'i' | 'l')
                | ('3', 'e')
                | ('4' | '@', 'a')
                | ('5' | '$', 's')
                | ('7', 't')
                | ('8', 'b')
                | ('9', 'g')
        )
}

/// Whether a character is the one before, or its neighbour.
fn goes_on(last: char, next: char) -> bool {
    let is_neighbour = u32::from(last).abs_diff(u32::from(next)) <= 1;
    let is_in_row = |row: &&str| {
        let pairs = row.chars().zip(row.chars().skip(1));
        pairs.into_iter().any(|pair| pair == (last, next) || pair == (next, last))
    };
    is_neighbour || ROWS.iter().any(is_in_row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), PasswordFault> {
        check(&Secret::new(text.to_owned()), "Berta.Meier")
    }

    #[test]
    fn a_password_is_measured_in_characters_from_below_and_in_bytes_from_above() {
        assert_eq!(checked("elf Zeichen"), Err(PasswordFault::TooShort));
        assert_eq!(checked("äöüäöüäöüäö"), Err(PasswordFault::TooShort), "22 bytes are 11 characters");
        let long = "zwölf Zeichn".repeat(100);
        assert_eq!(checked(&long[..1023]), Ok(()));
        assert_eq!(checked(&long[..1025]), Err(PasswordFault::TooLong));
    }

    #[test]
    fn attack_181_what_is_guessed_first_is_refused() {
        for text in [
            "123456789012",
            "1234567890123456",
            "password1234",
            "Password2026!",
            "p4$$w0rd!!!!",
            "administrator",
            "Administrator1",
            "            ",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "qwertyuiop12",
            "qwertzuiop123",
            "asdfghjklasdf",
            "abcdefghijkl",
            "zyxwvutsrqpo",
            "narrowgate2026",
            "Narrowgate!!",
            "berta.meier1",
            "Berta.Meier2026",
            "letmeinplease1",
            "iloveyou12345",
            "passwordpassword",
            "Summer2026!!",
            "2025.2026.2027",
            "Hello-1984-Berlin",
            "dragon123monkey456",
            "qazwsxedc123",
            "abc123abc123",
            "welcome123456",
            "changeme1234",
            "111111222222",
            "passw0rd1234",
            "superman12345",
            "operatoroperator",
        ] {
            assert_eq!(checked(text), Err(PasswordFault::TooCommon), "{text}");
        }
    }

    #[test]
    fn what_is_not_is_taken() {
        for text in [
            "zwölf Zeichn",
            "correct horse battery",
            "battery horse correct",
            "canary-password-1",
            "Tr0ub4dor&3xyz",
            "xkcd936 staple",
            "password of my cat",
            "h7#kq2!mz9wp",
            "девять котов на крыше",
        ] {
            assert_eq!(checked(text), Ok(()), "{text}: {}", counted(text, "Berta.Meier"));
        }
    }
}
