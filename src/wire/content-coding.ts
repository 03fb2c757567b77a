/**
 * Reads the field that names the coding of a body or message. Case does not matter, `x-gzip` is `gzip` (RFC 9110, 8.4.1), and `identity`
 * means none.
 *
 * @returns undefined if there is no coding; otherwise its name in lower case, known or not.
 */
export function contentCodingOf(field: string | undefined): string | undefined {
  // Common values, before anything is copied.
  if (field === undefined || field === 'identity') return undefined;
  if (field === 'gzip' || field === 'br') return field;
  const codings = field
    .split(',')
    .map(coding => coding.trim().toLowerCase())
    .filter(coding => coding !== '' && coding !== 'identity')
    .map(coding => (coding === 'x-gzip' ? 'gzip' : coding));
  return codings.length === 0 ? undefined : codings.join(', ');
}
