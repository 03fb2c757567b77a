/**
 * Whether If-None-Match names this entity tag, or any (RFC 9110, 13.1.2). The comparison is weak, because a cache may have weakened the
 * tag.
 */
export function matches(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  return ifNoneMatch.split(',').some(one => one.trim().replace(/^W\//, '') === etag);
}
