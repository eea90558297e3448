DELETE FROM ingress i USING accepted a WHERE EXISTS (SELECT FROM gate) AND i.id = a.id
