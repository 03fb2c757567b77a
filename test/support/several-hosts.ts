/** One URL that names the hosts of all of these, and has everything else of the first one. */
export function severalHosts(first: string, ...others: string[]): string {
  const hosts = [first, ...others].map(url => new URL(url).host);
  return first.replace(hosts[0] ?? '', () => hosts.join(','));
}
