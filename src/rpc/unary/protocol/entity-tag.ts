/**
 * Whether a field If-None-Match names this entity tag, or any (RFC 9110, 13.1.2). Compared weakly: a cache on the way may have
 * made it weak.
 */
export function matches(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  return ifNoneMatch.split(',').some(one => one.trim().replace(/^W\//, '') === etag);
}
