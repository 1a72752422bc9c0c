-- Makes products known that are not, if Redis is in the generation that the caller means.
--
-- KEYS  the marker of the generation, the hash of available units by product
-- ARGV  the marker meant, and for each product: its id, its units
-- Answers STALE or OK
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'STALE'
end
for at = 2, #ARGV, 2 do
  redis.call('HSETNX', KEYS[2], ARGV[at], ARGV[at + 1])
end
return 'OK'
