/** One to eight random changes: bytes that matter to a parser of URLs come up more often than others. */
export function mutateHost(host: string, random: () => number): string {
  const bytes = [...host];
  const pick = (text: string) => text[Math.floor(random() * text.length)] as string;
  for (let change = Math.floor(random() * 8); change >= 0; change--) {
    const at = Math.floor(random() * (bytes.length + 1));
    const byte =
      random() < 0.7 ? pick('|[]:@/?#\\%^<>"`{} \t.-_,;=0x9') : String.fromCharCode(1 + Math.floor(random() * 255));
    bytes.splice(at, Math.floor(random() * 4), byte);
  }
  // A line break would end the header: what follows is another request's matter.
  return bytes.join('').replaceAll(/[\r\n]/g, '');
}

/** A small generator with a seed, so that a failure can be repeated. */
export function seededRandom(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
