import fc from 'fast-check';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { COLUMN_TYPES, parseTimestamp } from '#src/db/column-types.ts';

const { builtins } = pg.types;
const pgParses: (text: string) => Date | number = pg.types.getTypeParser(builtins.TIMESTAMPTZ, 'text');

/** As Postgres writes it in UTC: without the zeros at the end of the fraction. */
function format(date: Date): string {
  const [day, time = ''] = date.toISOString().split('T');
  return `${day} ${time.replace(/\.?0*Z$/, '')}+00`;
}

describe('A timestamp', () => {
  it('is parsed as pg parses it, whenever it is', () => {
    const dates = fc.date({
      min: new Date('0001-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(dates, date => {
        expect(parseTimestamp(format(date))).toEqual(date);
        expect(pgParses(format(date))).toEqual(date);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    'infinity',
    '-infinity',
    '0044-03-15 12:00:00+00 BC',
    '0099-01-01 00:00:00+00',
    '10000-01-01 00:00:00+00',
    '2026-03-01 09:00:00.123456+00',
    '2026-03-01 14:30:00+05:30',
    '2026-03-01 04:00:00.5-05',
    '2026-03-01 09:00:00+00',
    '2026-03-01 09:00:00.5+00',
    '2026-02-28 23:59:59.999+00',
  ])('such as %s is what pg makes of it', text => {
    expect(parseTimestamp(text)).toEqual(pgParses(text));
  });
});

describe('A column of another type', () => {
  it.each([builtins.INT8, builtins.BOOL, builtins.TIMESTAMP, 1009, 2950])('(%i) is parsed by pg', oid => {
    expect(COLUMN_TYPES.getTypeParser(oid, 'text')).toBe(pg.types.getTypeParser(oid, 'text'));
  });
});
